//! The fields of a protobuf message, in the file's order.
//!
//! Fourteen field numbers of four messages are all that is needed, so no schema compiler is.

/// A field's value by its wire type; 64-bit numbers only occur in fields that are skipped.
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64,
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(other.instead_of("bytes")),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "text that is not UTF-8".to_owned())
    }

    pub(super) fn varint(self) -> Result<u64, String> {
        match self {
            Value::Varint(number) => Ok(number),
            other => Err(other.instead_of("a whole number")),
        }
    }

    pub(super) fn flag(self) -> Result<bool, String> {
        Ok(self.varint()? != 0)
    }

    pub(super) fn float(self) -> Result<f32, String> {
        match self {
            Value::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            other => Err(other.instead_of("a 32-bit float")),
        }
    }

    fn instead_of(self, needed: &str) -> String {
        let found = match self {
            Value::Varint(_) => "a whole number",
            Value::Fixed64 => "64 bits",
            Value::Bytes(_) => "bytes",
            Value::Fixed32(_) => "32 bits",
        };
        format!("{found} where {needed} must be")
    }
}

/// The fields of one message: their numbers and values. It ends after its first error.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let there = self.rest.len();
        let taken = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (taken, rest) =
            taken.ok_or_else(|| format!("a value of {length} bytes where {there} are left"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or("a number is cut off")?;
            self.rest = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number of more than 64 bits".to_owned())
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), String> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed64)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => match self.take(4)? {
                &[a, b, c, d] => Value::Fixed32([a, b, c, d]),
                _ => return Err("a number is cut off".to_owned()),
            },
            other => return Err(format!("the wire type {other}")),
        };
        match key >> 3 {
            0 => Err("the field number 0".to_owned()),
            number => Ok((number, value)),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fields, Value};

    fn numbers(message: &[u8]) -> Result<Vec<u64>, String> {
        Fields::of(message).map(|field| field.map(|(number, _)| number)).collect()
    }

    #[test]
    fn fields_of_every_wire_type_are_read() {
        let message = [8, 0x96, 1, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0x1A, 2, b'h', b'i', 0x25, 0, 0, 0x80, 0x3F];
        let mut fields = Fields::of(&message).map(|field| field.unwrap());
        assert!(matches!(fields.next(), Some((1, Value::Varint(150)))));
        assert!(matches!(fields.next(), Some((2, Value::Fixed64))));
        assert_eq!(fields.next().unwrap().1.text(), Ok("hi"));
        assert_eq!(fields.next().unwrap().1.float(), Ok(1.0));
        assert!(fields.next().is_none());
    }

    #[test]
    fn what_is_cut_off_is_an_error_and_the_end() {
        let message = [8, 0x96, 1, 0x1A, 2, b'h', b'i', 0x25, 0, 0, 0x80, 0x3F];
        let whole = [3, 7, 12];
        for length in 1..message.len() {
            assert_eq!(numbers(&message[..length]).is_ok(), whole.contains(&length), "{length}");
            assert!(Fields::of(&message[..length]).count() <= 3);
        }
        for bad in [&[0u8, 1][..], &[0x0B], &[0x0C], &[0x0E], &[0x0F], &[8; 1], &[0x80; 11], &[0xFF; 12]] {
            assert!(numbers(bad).is_err(), "{bad:?}");
        }
        let huge = [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
        let problem = numbers(&huge).unwrap_err();
        assert_eq!(problem, "a value of 18446744073709551615 bytes where 0 are left");
    }

    #[test]
    fn a_value_of_another_type_is_named() {
        let value = || Fields::of(&[8, 1]).next().unwrap().unwrap().1;
        assert_eq!(value().bytes(), Err("a whole number where bytes must be".to_owned()));
        assert_eq!(value().float(), Err("a whole number where a 32-bit float must be".to_owned()));
        assert_eq!(value().flag(), Ok(true));
    }
}
