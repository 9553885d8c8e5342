//! How many calls there are of all users, and what they hold.

use crate::{StoreError, error::LATER};
use parking_lot::Mutex;

/// Room for calls: how many, and what they hold in bytes.
#[derive(Debug)]
pub(super) struct Room {
    taken: Mutex<(usize, usize)>,
    calls: usize,
    bytes: usize,
}

/// The room of one call.
#[derive(Debug)]
pub(super) struct Seat<'r> {
    room: &'r Room,
    bytes: usize,
}

impl Room {
    pub(super) fn new(calls: usize, bytes: usize) -> Self {
        Self { taken: Mutex::default(), calls, bytes }
    }

    /// A seat, if there is room; one call always fits.
    pub(super) fn sit(&self, bytes: usize) -> Result<Seat<'_>, StoreError> {
        let mut taken = self.taken.lock();
        let full = taken.0 >= self.calls || taken.1.saturating_add(bytes) > self.bytes;
        if full && taken.0 > 0 {
            return Err(LATER);
        }
        taken.0 += 1;
        taken.1 += bytes;
        Ok(Seat { room: self, bytes })
    }

    /// How many calls there are.
    pub(super) fn calls(&self) -> usize {
        self.taken.lock().0
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock();
        taken.0 -= 1;
        taken.1 -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_calls_and_bytes_and_always_for_one() {
        let room = Room::new(2, 100);
        let large = room.sit(1000).unwrap();
        assert_eq!(room.sit(1).err(), Some(LATER));
        drop(large);
        let two = [room.sit(50).unwrap(), room.sit(50).unwrap()];
        assert_eq!(room.sit(0).err(), Some(LATER));
        drop(two);
        let _half = room.sit(60).unwrap();
        assert_eq!(room.sit(60).err(), Some(LATER));
        assert_eq!(room.calls(), 1);
    }
}
