//! The short codes that a person reads on one device and types on another.

use aws_lc_rs::hmac;
use lockstep_model::SecretHash;

/// What the key is derived for; see [`Tokens::secret_for`](crate::Tokens::secret_for).
pub(crate) const PURPOSE: &str = "link codes";
/// Digits and letters of which no two look alike, on a screen or in a hurried hand: no 0 or O, 1, I or L, 2 or Z, 5 or S, 8 or
/// B, U or V.
const ALPHABET: &[u8; 23] = b"34679ACDEFGHJKMNPQRTWXY";
/// The largest multiple of the alphabet's size in a byte: bytes from there on are drawn anew, so that all are as likely.
const EVEN_BYTES: u8 = (u8::MAX as usize / ALPHABET.len() * ALPHABET.len()) as u8;

/// Makes and reads codes of links.
///
/// A code is short, so only its MAC is stored: whoever reads the store cannot try all codes, and how long it takes to look
/// one up says nothing about those that are there.
pub struct LinkCodes {
    key: hmac::Key,
}

impl LinkCodes {
    /// The characters of a code.
    pub const CHARS: usize = 8;

    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret) }
    }

    /// A new code, and what is kept of it. There are 23^8, about 8 * 10^10.
    pub fn make(&self) -> (String, SecretHash) {
        let mut code = String::with_capacity(Self::CHARS);
        while code.len() < Self::CHARS {
            let mut byte = [0];
            aws_lc_rs::rand::fill(&mut byte).expect("the system gives randomness");
            if byte[0] < EVEN_BYTES {
                code.push(char::from(ALPHABET[usize::from(byte[0]) % ALPHABET.len()]));
            }
        }
        let hash = self.hash(&code);
        (code, hash)
    }

    /// What is kept of a code that somebody typed, in small or capital letters, with spaces or hyphens; `None` if the text
    /// is none.
    pub fn read(&self, text: &str) -> Option<SecretHash> {
        // Nobody types that many hyphens.
        if text.len() > 4 * Self::CHARS {
            return None;
        }
        let typed = text.chars().filter(|c| !matches!(c, ' ' | '-'));
        let code: String = typed.map(|c| c.to_ascii_uppercase()).collect();
        let is_code = code.len() == Self::CHARS && code.bytes().all(|byte| ALPHABET.contains(&byte));
        is_code.then(|| self.hash(&code))
    }

    fn hash(&self, code: &str) -> SecretHash {
        let mac = hmac::sign(&self.key, code.as_bytes());
        SecretHash(mac.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let codes = LinkCodes::new([1; 32]);
        let (code, hash) = codes.make();
        let (first, last) = code.split_at(4);
        for typed in [
            code.clone(),
            code.to_lowercase(),
            format!("{first}-{last}"),
            format!(" {first} {} ", last.to_lowercase()),
            format!("{first}--{last}"),
        ] {
            assert_eq!(codes.read(&typed), Some(hash), "{typed}");
        }
        let other = LinkCodes::new([2; 32]);
        assert_ne!(other.read(&code), Some(hash), "the key counts");
    }

    #[test]
    fn what_is_no_code() {
        let codes = LinkCodes::new([1; 32]);
        let long = format!("{}-ACDEFGHJ", "-".repeat(32));
        for text in ["", "ACDEFGH", "ACDEFGHJK", "ACDEFGH0", "ACDEFGHI", "ACDE_FGHJ", "ÄCDEFGHJ", "ACDEFGſJ", &long] {
            assert_eq!(codes.read(text), None, "{text}");
        }
        assert!(codes.read("ACDE-FGHJ").is_some());
    }

    #[test]
    fn codes_use_the_whole_alphabet() {
        let codes = LinkCodes::new([1; 32]);
        let all: Vec<String> = (0..500).map(|_| codes.make().0).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 500, "all differ");
        let used: BTreeSet<u8> = all.iter().flat_map(|code| code.bytes()).collect();
        assert_eq!(used, ALPHABET.iter().copied().collect());
        assert!(all.iter().all(|code| code.len() == LinkCodes::CHARS));
    }
}
