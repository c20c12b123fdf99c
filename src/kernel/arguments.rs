//! A twin's arguments: the words behind each binding.

/// The words behind one binding.
#[derive(Debug)]
pub enum Argument<'a> {
    /// A binding that is read.
    Read(&'a [u32]),
    /// A binding that is written, or updated in place.
    Write(&'a mut [u32]),
}

/// A twin's arguments in binding order. Asking for a binding with the wrong access gives an empty slice.
#[derive(Debug)]
pub struct Arguments<'a>(Vec<Argument<'a>>);

impl<'a> Arguments<'a> {
    /// Wraps the bindings' words.
    pub fn new(arguments: Vec<Argument<'a>>) -> Self {
        Self(arguments)
    }

    /// A read binding as words.
    pub fn words(&self, index: usize) -> &'a [u32] {
        match self.0.get(index) {
            Some(Argument::Read(words)) => words,
            _ => &[],
        }
    }

    /// A read binding as f32.
    pub fn f32(&self, index: usize) -> &'a [f32] {
        bytemuck::cast_slice(self.words(index))
    }

    /// A written or updated binding as f32. It can be taken once; after that it is empty.
    pub fn f32_mut(&mut self, index: usize) -> &'a mut [f32] {
        bytemuck::cast_slice_mut(self.words_mut(index))
    }

    /// A written or updated binding as words. It can be taken once; after that it is empty.
    pub fn words_mut(&mut self, index: usize) -> &'a mut [u32] {
        match self.0.get_mut(index) {
            Some(Argument::Write(words)) => std::mem::take(words),
            _ => &mut [],
        }
    }
}
