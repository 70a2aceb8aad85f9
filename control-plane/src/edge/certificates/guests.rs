//! Who was here lately: a certificate that is asked for a second time is wanted in memory, one that is asked for once is not.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Id;

/// Places; who comes to a taken one takes it, so that what was long ago is forgotten.
const PLACES: usize = 1 << 13;

/// The last few thousand that were asked for.
pub(super) struct Guests(Box<[AtomicU32]>);

impl Default for Guests {
    fn default() -> Self {
        Self((0..PLACES).map(|_| AtomicU32::new(0)).collect())
    }
}

impl Guests {
    /// Notes that one is asked for; whether it was before, not long ago.
    pub(super) fn again(&self, id: Id) -> bool {
        let [.., a, b, c, d, e, f, g, h] = id.0;
        let mixed = u64::from_be_bytes([a, b, c, d, e, f, g, h]).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (place, mark) = ((mixed >> 51) as usize, (mixed >> 19) as u32 | 1);
        self.0[place].swap(mark, Ordering::Relaxed) == mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_twice_is_known_until_many_others_came() {
        let guests = Guests::default();
        let id = |number: u32| {
            let mut id = [7; 10];
            id[6..].copy_from_slice(&number.to_be_bytes());
            Id(id)
        };
        assert!(!guests.again(id(1)) && guests.again(id(1)) && guests.again(id(1)));
        let known = (2..102).filter(|number| guests.again(id(*number))).count();
        assert_eq!(known, 0);
        assert!(guests.again(id(1)), "a hundred others do not make one forgotten");
        let known = (1000..201_000).filter(|number| guests.again(id(*number))).count();
        assert!(known < 10, "{known} of 200,000 were taken for others");
        assert!(!guests.again(id(1)));
    }
}
