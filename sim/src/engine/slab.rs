/// Values under `u32` handles, which are used again once free: packets in flight live here, so that an event stays
/// small and a hop copies nothing.
#[derive(Debug)]
pub struct Slab<T> {
    cells: Vec<Cell<T>>,
    free: Option<u32>,
    len: usize,
}

#[derive(Debug)]
enum Cell<T> {
    Full(T),
    Free { next: Option<u32> },
}

impl<T> Slab<T> {
    /// An empty slab.
    pub const fn new() -> Self {
        Self { cells: Vec::new(), free: None, len: 0 }
    }

    /// Stores a value and gives it a handle.
    ///
    /// # Panics
    ///
    /// If 2^32 values are stored at once.
    pub fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if let Some(handle) = self.free {
            let cell = &mut self.cells[handle as usize];
            if let Cell::Free { next } = cell {
                self.free = *next;
            }
            *cell = Cell::Full(value);
            handle
        } else {
            let handle = u32::try_from(self.cells.len()).expect("fewer than 2^32 packets in flight");
            self.cells.push(Cell::Full(value));
            handle
        }
    }

    /// The value under a handle.
    pub fn get(&self, handle: u32) -> Option<&T> {
        match self.cells.get(handle as usize) {
            Some(Cell::Full(value)) => Some(value),
            _ => None,
        }
    }

    /// The value under a handle, to be changed.
    pub fn get_mut(&mut self, handle: u32) -> Option<&mut T> {
        match self.cells.get_mut(handle as usize) {
            Some(Cell::Full(value)) => Some(value),
            _ => None,
        }
    }

    /// Takes a value out and frees its handle.
    pub fn remove(&mut self, handle: u32) -> Option<T> {
        let cell = self.cells.get_mut(handle as usize)?;
        match std::mem::replace(cell, Cell::Free { next: self.free }) {
            Cell::Full(value) => {
                self.free = Some(handle);
                self.len -= 1;
                Some(value)
            }
            free => {
                *cell = free;
                None
            }
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_used_again() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert("a"), slab.insert("b"));
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.remove(a), None);
        assert_eq!(slab.get(b), Some(&"b"));
        assert_eq!(slab.insert("c"), a);
        assert_eq!((slab.get(a), slab.len()), (Some(&"c"), 2));
    }
}
