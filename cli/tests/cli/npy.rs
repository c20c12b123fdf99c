//! A `.npy` file as NumPy reads it: version 1.0 of its format (NEP 1), with f32 in C's order.

use std::path::Path;

/// The array's shape and its elements.
pub fn read(path: &Path) -> (Vec<usize>, Vec<f32>) {
    array(&std::fs::read(path).unwrap())
}

/// The same of a file's bytes.
pub fn array(bytes: &[u8]) -> (Vec<usize>, Vec<f32>) {
    let (shape, data) = header(bytes);
    let elements = bytes[data..].chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().unwrap()));
    let elements: Vec<f32> = elements.collect();
    assert_eq!(bytes.len() - data, 4 * shape.iter().product::<usize>(), "the bytes of {shape:?}");
    (shape, elements)
}

/// The array's shape, and where its elements begin.
pub fn header(bytes: &[u8]) -> (Vec<usize>, usize) {
    assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00", "the magic string, and the version");
    let data = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!(data % 64, 0, "elements begin at a multiple of 64 bytes");
    let header = std::str::from_utf8(&bytes[10..data]).unwrap();
    let dictionary = header.strip_suffix('\n').expect("the header ends with a line").trim_end_matches(' ');
    let shape = dictionary
        .strip_prefix("{'descr': '<f4', 'fortran_order': False, 'shape': (")
        .and_then(|rest| rest.strip_suffix("), }"))
        .unwrap_or_else(|| panic!("another header: {header:?}"));
    let axes = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    (axes.map(|axis| axis.parse().unwrap()).collect(), data)
}
