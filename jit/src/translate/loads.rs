//! Loads, and what happens where their bytes are missing.

use super::*;

impl<'a, 'b> Translator<'a, 'b> {
    pub(super) fn load(
        &mut self,
        node: &mut Node,
        size: u8,
        k: u32,
        indexed: bool,
        bare: bool,
        missing: u32,
    ) -> Step {
        if node.way == Way::Apart {
            return self.load_apart(node, size, k, indexed.then_some(node.state.x), bare, missing);
        }
        let constant = match (indexed, node.state.x) {
            (false, _) => u64::from(k),
            (true, Some(x)) => u64::from(k) + u64::from(x),
            (true, None) => return self.load_behind(node, size, k, missing),
        };
        if !self.is_there(node, constant, size, missing) {
            return Step::To(missing);
        }
        let bytes = Bytes { offset: constant as u32, size, mask: full(size) };
        node.state.a = match node.state.facts.value(bytes) {
            Some(value) => Known::Constant(value),
            None => Known::Bytes(bytes),
        };
        Step::Next
    }

    /// Goes to `missing` where bytes at a constant offset are not there; false: they never are.
    pub(super) fn is_there(&mut self, node: &Node, offset: u64, size: u8, missing: u32) -> bool {
        let end = offset + u64::from(size);
        if node.way == Way::Fast && end <= self.reach {
            return true;
        }
        if end > u64::from(u32::MAX) {
            return false;
        }
        let otherwise = self.edge_to(node, missing, &node.state.clone());
        let (_, captured) = self.piece();
        let end = self.b.ins().iconst(I32, end as i64);
        let enough = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, captured, end);
        self.unless(enough, otherwise);
        true
    }

    /// X is not known. Both are of 64 bits, so nothing wraps.
    pub(super) fn load_behind(&mut self, node: &mut Node, size: u8, k: u32, missing: u32) -> Step {
        let x = self.index(None);
        let x = self.b.ins().uextend(I64, x);
        let offset = self.b.ins().iadd_imm(x, i64::from(k));
        let end = self.b.ins().iadd_imm(offset, i64::from(size));
        let captured = self.captured_long();
        let enough = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, captured, end);
        let otherwise = self.edge_to(node, missing, &node.state.clone());
        self.unless(enough, otherwise);
        let kind = match size {
            1 => I8,
            2 => I16,
            _ => I32,
        };
        let base = self.view().bytes;
        let at = self.b.ins().iadd(base, offset);
        let lies = self.b.ins().load(kind, flags(), at, 0);
        let number = self.as_number(lies, size);
        self.set_a(&mut node.state, number);
        Step::Next
    }

    /// By a call; `x`: the index, where there is one.
    pub(super) fn fetch(
        &mut self,
        node: &Node,
        size: u8,
        k: u32,
        x: Option<Option<u32>>,
        bare: bool,
        missing: u32,
    ) -> Value {
        let mut offset = self.b.ins().iconst(I64, i64::from(k));
        if let Some(x) = x {
            let x = self.index(x);
            let x = self.b.ins().uextend(I64, x);
            offset = self.b.ins().iadd(offset, x);
        }
        let frame = self.caller.frame.expect("a frame");
        let tags = self.tags_for(bare);
        let size = self.b.ins().iconst(I64, i64::from(size));
        let function = frame::load_apart as *const () as usize;
        let value = self.call(self.signatures.load, function, &[frame, tags, offset, size]);
        let there = self.b.ins().icmp_imm(IntCC::SignedGreaterThanOrEqual, value, 0);
        let otherwise = self.edge_to(node, missing, &node.state.clone());
        self.unless(there, otherwise);
        self.b.ins().ireduce(I32, value)
    }

    pub(super) fn load_apart(
        &mut self,
        node: &mut Node,
        size: u8,
        k: u32,
        x: Option<Option<u32>>,
        bare: bool,
        missing: u32,
    ) -> Step {
        let value = self.fetch(node, size, k, x, bare, missing);
        self.set_a(&mut node.state, value);
        Step::Next
    }

    /// X = 4 * the lower half of a byte. Most IPv4 headers have no options: what is behind them is
    /// at constant offsets then, which is worth a test.
    pub(super) fn load_header(
        &mut self,
        node: &mut Node,
        offset: u32,
        bare: bool,
        missing: u32,
    ) -> Step {
        if node.way == Way::Apart {
            let byte = self.fetch(node, 1, offset, None, bare, missing);
            let words = self.b.ins().band_imm(byte, 0xf);
            let length = self.b.ins().ishl_imm(words, 2);
            self.set_x(&mut node.state, length);
            return Step::Next;
        }
        if !self.is_there(node, u64::from(offset), 1, missing) {
            return Step::To(missing);
        }
        let words = Bytes { offset, size: 1, mask: 0xf };
        let next = node.at + 1;
        match node.state.facts.decide(words, HEADER / 4) {
            Some(true) => {
                node.state.x = Some(HEADER);
                return Step::Next;
            }
            None if node.way == Way::Fast => {
                let mut usual = node.state.clone();
                usual.x = Some(HEADER);
                usual.facts.learn(words, HEADER / 4, true);
                node.state.facts.learn(words, HEADER / 4, false);
                let is_usual = self.equals(words, HEADER / 4);
                let usual_block = self.edge_to(node, next, &usual);
                let other = self.b.create_block();
                self.b.set_cold_block(other);
                self.b.ins().brif(is_usual, usual_block, &[], other, &[]);
                self.b.switch_to_block(other);
            }
            _ => {}
        }
        let length = self.number(Known::Bytes(words));
        let length = self.b.ins().ishl_imm(length, 2);
        self.set_x(&mut node.state, length);
        Step::Next
    }
}
