//! Tokens that authorize the use of one session without its owner's key.
//!
//! A token is a keyed hash of the session's id. It is checked without looking up the session, so a refusal depends on the token
//! alone and does not reveal whether the session exists. The key is drawn when the server starts; tokens of earlier starts are
//! recognized by their prefix.

use rand::Rng;

/// What a token gives access to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Cells, files and processes (`envdAccessToken` of E2B).
    Access,
    /// Ports, and the contexts of the interpreter (`trafficAccessToken` of E2B).
    Traffic,
}

/// The result of checking a token for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenCheck {
    /// It is the token of the session with this id, whether or not that session exists.
    Valid,
    /// It was issued by an earlier start of the server, whose sessions have all ended.
    Stale,
    Invalid,
}

impl TokenKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Access => "st",
            Self::Traffic => "tt",
        }
    }
}

/// The token key of one start of the server.
pub(super) struct Tokens {
    key: [u8; 32],
    /// Identifies tokens of this start; eight hexadecimal digits.
    start: String,
}

/// Hexadecimal digits of the hash in a token: 128 bits.
const DIGITS: usize = 32;

impl Tokens {
    pub(super) fn new(random: &mut impl Rng) -> Self {
        let mut key = [0; 32];
        random.fill_bytes(&mut key);
        Self { key, start: format!("{:08x}", random.next_u32()) }
    }

    /// Returns the token of the session with this id.
    pub(super) fn issue(&self, kind: TokenKind, id: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(kind.prefix().as_bytes()).update(b":").update(id.as_bytes());
        format!("{}_{}{}", kind.prefix(), self.start, &hasher.finalize().to_hex()[..DIGITS])
    }

    /// Checks a token in constant time.
    pub(super) fn check(&self, kind: TokenKind, id: &str, shown: &[u8]) -> TokenCheck {
        // Hashes are compared, so the time does not depend on the token.
        if blake3::hash(shown) == blake3::hash(self.issue(kind, id).as_bytes()) {
            return TokenCheck::Valid;
        }
        let digits = shown.strip_prefix(kind.prefix().as_bytes()).and_then(|rest| rest.strip_prefix(b"_"));
        let digits = digits.filter(|digits| digits.len() == self.start.len() + DIGITS);
        match digits {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) && !digits.starts_with(self.start.as_bytes()) => {
                TokenCheck::Stale
            }
            _ => TokenCheck::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::seed::Seed;

    use super::*;

    #[test]
    fn a_token_is_valid_only_for_its_session_and_its_kind() {
        let of = |seed| Tokens::new(&mut Seed::fixed(seed).strong_rng());
        let (tokens, other) = (of(1), of(2));
        let token = tokens.issue(TokenKind::Access, "iabc");
        assert_eq!(token.len(), "st_".len() + 8 + 32);
        let check = |kind, id, shown: &str| tokens.check(kind, id, shown.as_bytes());
        assert_eq!(check(TokenKind::Access, "iabc", &token), TokenCheck::Valid);
        assert_eq!(check(TokenKind::Access, "iabd", &token), TokenCheck::Invalid);
        assert_eq!(check(TokenKind::Traffic, "iabc", &token), TokenCheck::Invalid);
        assert_eq!(check(TokenKind::Traffic, "iabc", &token.replace("st_", "tt_")), TokenCheck::Invalid);
        assert_ne!(&tokens.issue(TokenKind::Traffic, "iabc")[3..], &token[3..]);
        assert_eq!(check(TokenKind::Access, "iabc", &other.issue(TokenKind::Access, "iabc")), TokenCheck::Stale);
        for wrong in ["", "st_", "wrong", &token[..token.len() - 1], &format!("{token}0"), &token.to_uppercase()] {
            assert_eq!(check(TokenKind::Access, "iabc", wrong), TokenCheck::Invalid, "{wrong}");
        }
    }
}
