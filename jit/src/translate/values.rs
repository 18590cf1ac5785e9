//! Values: bytes of the frame, lengths, registers, and what is called.

use super::*;

impl<'a, 'b> Translator<'a, 'b> {
    pub(super) fn field(&mut self, kind: ir::Type, base: Value, offset: usize) -> Value {
        self.b.ins().load(kind, flags(), base, offset as i32)
    }

    pub(super) fn element(
        &mut self,
        kind: ir::Type,
        base: Value,
        place: Value,
        shift: i64,
    ) -> Value {
        let offset = self.b.ins().ishl_imm(place, shift);
        let at = self.b.ins().iadd(base, offset);
        self.b.ins().load(kind, flags(), at, 0)
    }

    pub(super) fn view(&self) -> View {
        self.view.expect("a frame")
    }

    pub(super) fn piece(&self) -> (Value, Value) {
        (self.view().bytes, self.view().captured)
    }

    pub(super) fn captured_long(&mut self) -> Value {
        let captured = self.view().captured;
        self.b.ins().uextend(I64, captured)
    }

    pub(super) fn address<T>(&mut self, of: &T) -> Value {
        self.b.ins().iconst(I64, std::ptr::from_ref(of).addr() as i64)
    }

    pub(super) fn tags_for(&mut self, bare: bool) -> Value {
        match self.caller.tags {
            Some(tags) if bare => tags,
            _ => self.address(&NO_TAGS),
        }
    }

    pub(super) fn wire(&mut self, way: Way, bare: bool) -> Value {
        let Some(group) = self.caller.group else {
            let frame = self.caller.frame.expect("a frame");
            let wire = self.field(I32, frame, offset_of!(frame::Frame, wire));
            if way != Way::Apart || !bare {
                return wire;
            }
            // a record may claim to have been shorter than its tags
            let tags = self.tags_for(bare);
            let tags = self.field(I32, tags, offset_of!(frame::Tags, wire));
            let longer = self.b.ins().umax(wire, tags);
            return self.b.ins().isub(longer, tags);
        };
        let wires = self.field(I64, group, offset_of!(Group, wire));
        let place = self.view().place;
        self.element(I32, wires, place, 2)
    }

    /// As they lie in the frame, in a value of their size.
    pub(super) fn as_they_lie(&mut self, bytes: Bytes) -> Value {
        let kind = match bytes.size {
            1 => I8,
            2 => I16,
            _ => I32,
        };
        let base = self.view().bytes;
        if let Ok(offset) = i32::try_from(bytes.offset) {
            return self.b.ins().load(kind, flags(), base, offset);
        }
        let at = self.b.ins().iadd_imm(base, i64::from(bytes.offset));
        self.b.ins().load(kind, flags(), at, 0)
    }

    /// A loaded value of 1, 2 or 4 bytes as the number that it is in network byte order.
    pub(super) fn as_number(&mut self, lies: Value, size: u8) -> Value {
        let big =
            if cfg!(target_endian = "big") || size == 1 { lies } else { self.b.ins().bswap(lies) };
        if size == 4 { big } else { self.b.ins().uextend(I32, big) }
    }

    pub(super) fn number(&mut self, value: Known) -> Value {
        match value {
            Known::Constant(k) => self.b.ins().iconst(I32, i64::from(k)),
            Known::Dynamic => self.b.use_var(self.a),
            Known::Wire => self.wire(Way::Fast, false),
            Known::Bytes(bytes) => {
                let lies = self.as_they_lie(bytes);
                let number = self.as_number(lies, bytes.size);
                if bytes.mask == full(bytes.size) {
                    return number;
                }
                self.b.ins().band_imm(number, i64::from(bytes.mask))
            }
        }
    }

    pub(super) fn index(&mut self, x: Option<u32>) -> Value {
        match x {
            Some(x) => self.b.ins().iconst(I32, i64::from(x)),
            None => self.b.use_var(self.x),
        }
    }

    pub(super) fn operand(&mut self, operand: Operand, x: Option<u32>) -> Value {
        match operand {
            Operand::K(k) => self.b.ins().iconst(I32, i64::from(k)),
            Operand::X => self.index(x),
        }
    }

    pub(super) fn set_a(&mut self, state: &mut State, value: Value) {
        self.b.def_var(self.a, value);
        state.a = Known::Dynamic;
    }

    pub(super) fn set_x(&mut self, state: &mut State, value: Value) {
        self.b.def_var(self.x, value);
        state.x = None;
    }

    pub(super) fn set(&mut self, into: Register, state: &mut State, value: Value) {
        match into {
            Register::A => self.set_a(state, value),
            Register::X => self.set_x(state, value),
        }
    }

    pub(super) fn call(
        &mut self,
        signature: SigRef,
        function: usize,
        arguments: &[Value],
    ) -> Value {
        let callee = self.b.ins().iconst(I64, function as i64);
        let call = self.b.ins().call_indirect(signature, callee, arguments);
        self.b.inst_results(call)[0]
    }
}
