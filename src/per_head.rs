//! What attention may have for each head beside queries, keys and values: one number each. Whoever asks for one, checks it, lays
//! it out, samples it or plans with it goes through this one table.

/// A field for each of them, and what is done with all of them alike.
macro_rules! per_head {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// Something for each option of attention that is one number a head: the numbers themselves
        /// ([`Attention::per_head`](crate::ops::Attention::per_head)), whether they will be there
        /// ([`AttentionShape`](crate::AttentionShape)), their buffers ([`AttentionBuffers`](crate::AttentionBuffers)).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct PerHead<T> {
            $($(#[$meta])* pub $name: T,)*
        }

        impl PerHead<()> {
            /// The options' names.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];
        }

        impl<T> PerHead<T> {
            /// What `make` gives for each name.
            ///
            /// # Errors
            /// The first of `make`.
            pub fn try_from_names<E>(
                mut make: impl FnMut(&'static str) -> std::result::Result<T, E>,
            ) -> std::result::Result<Self, E> {
                Ok(Self { $($name: make(stringify!($name))?,)* })
            }

            /// With what `make` makes of each one's name and value.
            ///
            /// # Errors
            /// The first of `make`.
            pub fn try_map<U, E>(
                self,
                mut make: impl FnMut(&'static str, T) -> std::result::Result<U, E>,
            ) -> std::result::Result<PerHead<U>, E> {
                Ok(PerHead { $($name: make(stringify!($name), self.$name)?,)* })
            }

            /// References to them.
            pub fn as_ref(&self) -> PerHead<&T> {
                PerHead { $($name: &self.$name,)* }
            }

            /// The one of that name.
            pub fn get_mut(&mut self, name: &str) -> Option<&mut T> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        }
    };
}

per_head! {
    /// The scale of a head's scores is multiplied with its number, before the softcap (Swin Transformer v2, Liu et al. 2022,
    /// equation 2).
    head_scales,
    /// slope·|p − j| is taken from the scores of a query at key p (ALiBi, Press et al. 2022).
    alibi_slopes,
    /// A further logit in each row's sum, without a value (attention sinks, as gpt-oss has them).
    sinks,
}

impl<T> PerHead<T> {
    /// What `make` gives for each name.
    pub fn from_names(mut make: impl FnMut(&'static str) -> T) -> Self {
        let Ok(made) = Self::try_from_names(|name| Ok::<_, std::convert::Infallible>(make(name)));
        made
    }

    /// With what `make` makes of each one's name and value.
    pub fn map<U>(self, mut make: impl FnMut(&'static str, T) -> U) -> PerHead<U> {
        let Ok(made) = self.try_map(|name, value| Ok::<_, std::convert::Infallible>(make(name, value)));
        made
    }

    /// Their names and values, in the order in which the kernels have them.
    pub fn entries(self) -> Vec<(&'static str, T)> {
        let mut entries = Vec::new();
        self.map(|name, value| entries.push((name, value)));
        entries
    }

    /// The one of that name.
    pub fn get(self, name: &str) -> Option<T> {
        self.entries().into_iter().find_map(|(own, value)| (own == name).then_some(value))
    }
}

impl<T> PerHead<Option<T>> {
    /// That one alone; none for a name that is no option's.
    pub fn only(name: &str, value: T) -> Self {
        let mut value = Some(value);
        Self::from_names(|own| if own == name { value.take() } else { None })
    }
}
