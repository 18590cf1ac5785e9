//! What is known of the registers and the frame at a place in a program, before it runs.

/// Some bits of `size` bytes at a constant offset, which are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes {
    /// From the frame's start.
    pub offset: u32,
    /// 1, 2 or 4.
    pub size: u8,
    /// Of the big-endian number that they are.
    pub mask: u32,
}

/// What A holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Known {
    /// A number.
    Constant(u32),
    /// What lies in the frame, not loaded yet.
    Bytes(Bytes),
    /// The length on the wire.
    Wire,
    /// Nobody knows: it is in the register.
    Dynamic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Fact {
    bytes: Bytes,
    value: u32,
    is: bool,
}

/// What tests have said of the frame: bytes are, or are not, a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts(Vec<Fact>);

impl Facts {
    /// Whether the bytes are the value, if that follows.
    pub fn decide(&self, bytes: Bytes, value: u32) -> Option<bool> {
        let alike =
            |fact: &&Fact| fact.bytes.offset == bytes.offset && fact.bytes.size == bytes.size;
        for fact in self.0.iter().filter(alike) {
            let both = fact.bytes.mask & bytes.mask;
            if fact.is && (fact.value ^ value) & both != 0 {
                return Some(false);
            }
            if fact.is && both == bytes.mask {
                return Some(true);
            }
            if !fact.is && both == fact.bytes.mask && value & both == fact.value {
                return Some(false);
            }
        }
        None
    }

    /// The value of the bytes, if it is known.
    pub fn value(&self, bytes: Bytes) -> Option<u32> {
        let tells = |fact: &&Fact| {
            fact.is
                && fact.bytes.offset == bytes.offset
                && fact.bytes.size == bytes.size
                && fact.bytes.mask & bytes.mask == bytes.mask
        };
        self.0.iter().find(tells).map(|fact| fact.value & bytes.mask)
    }

    /// What a test said.
    pub fn learn(&mut self, bytes: Bytes, value: u32, is: bool) {
        if is {
            // all that it implies
            self.0.retain(|fact| {
                fact.bytes.offset != bytes.offset
                    || fact.bytes.size != bytes.size
                    || fact.bytes.mask & bytes.mask != fact.bytes.mask
            });
        }
        self.0.push(Fact { bytes, value, is });
        self.0.sort_unstable();
        self.0.dedup();
    }

    /// Forgets what `matters`, called with bytes, value, and whether they are it, denies.
    pub fn keep(&mut self, matters: impl Fn(Bytes, u32, bool) -> bool) {
        self.0.retain(|fact| matters(fact.bytes, fact.value, fact.is));
    }
}

/// What is known at a place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// What A holds.
    pub a: Known,
    /// What X holds, if it is known.
    pub x: Option<u32>,
    /// Of the frame.
    pub facts: Facts,
}

impl State {
    /// At a program's start: registers are 0.
    pub fn start(facts: Facts) -> State {
        State { a: Known::Constant(0), x: Some(0), facts }
    }
}
