//! Passphrases for secrets in a bundle: good ones are offered, weak ones are refused.

use rand::RngExt;

/// The fewest characters, spaces aside.
const MIN: usize = 16;

/// A new passphrase that can be read out and typed: seven made-up words of two syllables, 88 bits.
#[must_use]
pub fn suggest() -> String {
    const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
    const VOWELS: &[u8; 5] = b"aeiou";
    let mut rng = rand::rng();
    let mut text = String::new();
    for word in 0..7 {
        if word > 0 {
            text.push(' ');
        }
        for _ in 0..2 {
            text.push(char::from(CONSONANTS[rng.random_range(0..CONSONANTS.len())]));
            text.push(char::from(VOWELS[rng.random_range(0..VOWELS.len())]));
        }
    }
    text
}

/// Whether a passphrase is good enough to stand against somebody who has the file and all the time in the world.
#[must_use]
pub fn is_strong(passphrase: &str) -> bool {
    let length = passphrase.chars().filter(|c| !c.is_whitespace()).count();
    // Only the beginning is weighed: the estimate takes long for long texts, and nobody needs more.
    let beginning: String = passphrase.chars().take(100).collect();
    length >= MIN && zxcvbn::zxcvbn(&beginning, &[]).score() >= zxcvbn::Score::Four
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_is_strong_and_never_the_same() {
        let (one, two) = (suggest(), suggest());
        assert!(is_strong(&one), "{one}");
        assert_ne!(one, two);
        assert_eq!(one.split(' ').count(), 7);
    }

    #[test]
    fn what_can_be_guessed_is_weak() {
        for weak in ["", "short", "password password password", "aaaaaaaaaaaaaaaaaaaaaaaaaa", "1234567890123456"] {
            assert!(!is_strong(weak), "{weak}");
        }
        assert!(is_strong("my grandmother kept seven grumpy geese"));
    }
}
