//! Look-ups in sets, and searches.

use super::*;

impl<'a, 'b> Translator<'a, 'b> {
    pub(super) fn in_set(&mut self, node: &Node, set: usize, on_true: u32, on_false: u32) -> Step {
        let programs = self.programs;
        let set = &programs[node.program].sets[set];
        if let Known::Constant(a) = node.state.a {
            return Step::To(if set.has(a) { on_true } else { on_false });
        }
        let a = self.number(node.state.a);
        let state = node.state.clone();
        let no = self.edge_to(node, on_false, &state);
        let function = frame::number_in as *const () as usize;
        let found = match set.look_up() {
            LookUp::Few(ranges) => self.in_few(a, ranges),
            LookUp::Low(bits) => {
                let low = self.b.ins().icmp_imm(IntCC::UnsignedLessThanOrEqual, a, 0xffff);
                self.unless(low, no);
                self.bit_of(bits, a)
            }
            LookUp::Hashed(bits, shift) => {
                let spread = self.b.ins().imul_imm(a, i64::from(SPREAD));
                let hash = self.b.ins().ushr_imm(spread, i64::from(shift));
                let any = self.bit_of(bits, hash);
                self.unless(any, no);
                let table = self.address(set);
                self.call(self.signatures.number, function, &[table, a])
            }
            LookUp::Roots(bits) => {
                let upper = self.b.ins().ushr_imm(a, 16);
                let any = self.bit_of(bits, upper);
                self.unless(any, no);
                let table = self.address(set);
                self.call(self.signatures.number, function, &[table, a])
            }
        };
        let yes = self.edge_to(node, on_true, &state);
        self.b.ins().brif(found, yes, &[], no, &[]);
        Step::Done
    }

    pub(super) fn in_few(&mut self, a: Value, ranges: &[(u32, u32)]) -> Value {
        let mut found = self.b.ins().iconst(I8, 0);
        for (low, high) in ranges {
            let above = self.b.ins().iadd_imm(a, -i64::from(*low));
            let width = self.b.ins().iconst(I32, i64::from(high - low));
            let inside = self.b.ins().icmp(IntCC::UnsignedLessThanOrEqual, above, width);
            found = self.b.ins().bor(found, inside);
        }
        found
    }

    /// The bit of a number below 65,536.
    pub(super) fn bit_of(&mut self, bits: *const u64, number: Value) -> Value {
        let base = self.b.ins().iconst(I64, bits.addr() as i64);
        let long = self.b.ins().uextend(I64, number);
        let word = self.b.ins().ushr_imm(long, 6);
        let word = self.element(I64, base, word, 3);
        let place = self.b.ins().band_imm(long, 63);
        let shifted = self.b.ins().ushr(word, place);
        self.b.ins().band_imm(shifted, 1)
    }

    pub(super) fn in_wide(&mut self, node: &Node, set: usize, bare: bool) -> Value {
        let programs = self.programs;
        let table = self.address(&programs[node.program].wide_sets[set]);
        let offset = self.number(node.state.a);
        let offset = self.b.ins().uextend(I64, offset);
        if node.way == Way::Apart {
            let frame = self.caller.frame.expect("a frame");
            let tags = self.tags_for(bare);
            let function = frame::wide_apart as *const () as usize;
            return self.call(self.signatures.wide, function, &[table, frame, tags, offset]);
        }
        let captured = self.captured_long();
        let bytes = self.view().bytes;
        let function = frame::wide_whole as *const () as usize;
        self.call(self.signatures.wide, function, &[table, bytes, captured, offset])
    }

    pub(super) fn contains(&mut self, node: &Node, pattern: usize) -> Value {
        let programs = self.programs;
        let finder = self.address(programs[node.program].patterns.get(pattern));
        if node.way == Way::Apart {
            let frame = self.caller.frame.expect("a frame");
            let function = frame::contains_apart as *const () as usize;
            return self.call(self.signatures.search_apart, function, &[finder, frame]);
        }
        let captured = self.captured_long();
        let bytes = self.view().bytes;
        let function = frame::contains_whole as *const () as usize;
        self.call(self.signatures.search, function, &[finder, bytes, captured])
    }
}
