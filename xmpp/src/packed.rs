//! Values between the nodes of a cluster, as bytes: numbers of 7 bits a byte (LEB128), texts and lists with their length before them.
//! What is read is bounded by what came, and what makes no sense is `None`.

use bytes::Bytes;

/// Appends a number.
pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        // the lowest seven bits
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends bytes, after their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a text.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Appends a text, or that there is none.
pub fn put_text_opt(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(u8::from(text.is_some()));
    text.iter().for_each(|text| put_text(out, text));
}

/// Reads what was appended, in the same order.
#[derive(Clone, Debug)]
pub struct Reader(Bytes);

impl Reader {
    /// Of these bytes.
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        let first = *self.0.first()?;
        self.0 = self.0.slice(1..);
        Some(first)
    }

    /// A number.
    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits.leading_zeros() < shift {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Bytes: not copied.
    pub fn bytes(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.number()?).ok()?;
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    /// A text, given to `read`.
    pub fn text<T>(&mut self, read: impl FnOnce(&str) -> T) -> Option<T> {
        let bytes = self.bytes()?;
        std::str::from_utf8(&bytes).ok().map(read)
    }

    /// A text that may not be there, given to `read`.
    pub fn text_opt<T>(&mut self, read: impl FnOnce(&str) -> T) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => self.text(read).map(Some),
            _ => None,
        }
    }

    /// A list, after its length, each by `read`.
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = usize::try_from(self.number()?).ok()?;
        // each has a byte at least
        let mut all = Vec::with_capacity(length.min(self.0.len()));
        for _ in 0..length {
            all.push(read(self)?);
        }
        Some(all)
    }

    /// All that is left.
    pub fn rest(self) -> Bytes {
        self.0
    }

    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_read_and_nothing_else() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            put_text(&mut out, "é");
            put_text_opt(&mut out, None);
            put_text_opt(&mut out, Some(""));
            let mut reader = Reader::new(out.clone().into());
            assert_eq!(reader.number(), Some(number));
            assert_eq!(reader.text(str::to_owned).as_deref(), Some("é"));
            assert_eq!(reader.text_opt(str::len), Some(None));
            assert_eq!(reader.text_opt(str::len), Some(Some(0)));
            assert!(reader.is_over());
            let mut short = Reader::new(Bytes::from(out).slice(..2));
            assert!(short.number().is_none_or(|_| short.text(str::len).is_none()));
        }
    }

    #[test]
    fn what_makes_no_sense_is_none() {
        let reader = |bytes: &'static [u8]| Reader::new(Bytes::from_static(bytes));
        assert_eq!(reader(&[0xff; 11]).number(), None);
        assert_eq!(reader(b"\x05abc").bytes(), None);
        assert_eq!(reader(b"\x01\xff").text(str::len), None);
        assert_eq!(reader(b"\x02").text_opt(str::len), None);
        assert_eq!(reader(b"\xff\xff\xff\xff\x0f").list(Reader::byte), None);
    }
}
