//! Parameters: one `#[repr(C)]` struct a kernel, the same as the shader's `Parameters`.

/// The type of a parameter. Scalars only: their layout in a uniform buffer is the same as in Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// `u32`.
    U32,
    /// `f32`.
    F32,
}

/// A parameter's name, type and offset, as the host lays it out. A test holds each against the shader by naga's
/// reflection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the shader.
    pub name: &'static str,
    /// Its type.
    pub kind: FieldKind,
    /// Its offset in bytes.
    pub offset: usize,
}

/// Defines a kernel's parameters, of `u32` and `f32` alone, with their list of fields `FIELDS` and `from_bytes`.
///
/// ```
/// attentive::parameters! {
///     /// Sizes.
///     pub struct Parameters {
///         /// Elements.
///         pub elements: u32,
///         /// Added to each.
///         pub offset: f32,
///     }
/// }
/// assert_eq!(Parameters::FIELDS[1].offset, 4);
/// ```
#[macro_export]
macro_rules! parameters {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $kind:ident,)* }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, $crate::bytemuck::Pod, $crate::bytemuck::Zeroable)]
        #[bytemuck(crate = "::attentive::bytemuck")]
        pub struct $name { $($(#[$field_meta])* pub $field: $kind,)* }

        impl $name {
            /// The fields as the shader sees them.
            pub const FIELDS: &'static [$crate::kernel::Field] = &[$(
                $crate::kernel::Field {
                    name: stringify!($field),
                    kind: $crate::parameters!(@kind $kind),
                    offset: std::mem::offset_of!($name, $field),
                },
            )*];

            /// Reads them back from a dispatch's bytes.
            pub fn from_bytes(bytes: &[u8]) -> Self {
                $crate::bytemuck::pod_read_unaligned(bytes)
            }
        }
    };
    (@kind u32) => { $crate::kernel::FieldKind::U32 };
    (@kind f32) => { $crate::kernel::FieldKind::F32 };
}
