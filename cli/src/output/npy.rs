//! Arrays of f32 as NumPy reads them: the head of a .npy file (format 1.0), behind which the values lie.

/// The length of every head, whatever the shape: it can be written over when the shape is known.
const LENGTH: usize = 128;

/// The header before the values of an array of this shape, in the order of C, little-endian.
pub fn head(shape: &[usize]) -> [u8; LENGTH] {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", shape.join(", "));
    let mut head = [b' '; LENGTH];
    head[..10].copy_from_slice(b"\x93NUMPY\x01\0\x76\0");
    head[10..10 + text.len()].copy_from_slice(text.as_bytes());
    head[LENGTH - 1] = b'\n';
    head
}

/// The values as they lie there.
pub fn values(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
#[allow(dead_code, reason = "the tests of the program use the rest of it")]
#[path = "../../tests/cli/npy.rs"]
pub mod as_numpy;

#[cfg(test)]
mod tests {
    use super::as_numpy;

    #[test]
    fn numpy_reads_any_shape_of_several_axes() {
        for shape in [&[0, 0][..], &[3, 384], &[100_000_000, 4096], &[24, 16, 8192, 8192]] {
            assert_eq!(as_numpy::header(&super::head(shape)), (shape.to_vec(), super::LENGTH));
        }
    }
}
