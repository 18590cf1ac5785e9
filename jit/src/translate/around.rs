//! What stands around programs in a function: the loop over a group, and which way a frame goes.

use super::*;

impl<'a, 'b> Translator<'a, 'b> {
    pub(super) fn entry(&mut self) -> Vec<Value> {
        let block = self.b.create_block();
        self.b.append_block_params_for_function_params(block);
        self.b.switch_to_block(block);
        let zero = self.b.ins().iconst(I32, 0);
        self.b.def_var(self.a, zero);
        self.b.def_var(self.x, zero);
        let zero = self.b.ins().iconst(I64, 0);
        self.b.def_var(self.turns, zero);
        self.b.block_params(block).to_vec()
    }

    pub(super) fn begin_run(&mut self) {
        let params = self.entry();
        let (frame, tags) = (params[0], params[1]);
        self.caller.frame = Some(frame);
        self.caller.tags = Some(tags);
        let bytes = self.field(I64, frame, offset_of!(frame::Frame, bytes));
        let captured = self.field(I32, frame, offset_of!(frame::Frame, captured));
        let tagged = self.field(I8, frame, offset_of!(frame::Frame, tagged));
        let tagged = self.b.ins().uextend(I32, tagged);
        let skipped = self.field(I32, tags, offset_of!(frame::Tags, wire));
        let apart = self.b.ins().bor(tagged, skipped);
        self.view = Some(View { bytes, captured, place: captured });
        let whole = self.b.create_block();
        let odd = self.edge(self.first(Way::Apart));
        self.b.set_cold_block(odd);
        self.b.ins().brif(apart, odd, &[], whole, &[]);
        self.b.switch_to_block(whole);
        self.choose_way();
    }

    pub(super) fn begin_judge(&mut self) {
        let params = self.entry();
        let (group, frames, taken) = (params[0], params[1], params[2]);
        let all_bytes = self.field(I64, group, offset_of!(Group, bytes));
        let all_captured = self.field(I64, group, offset_of!(Group, captured));
        let snaplen = self.field(I32, group, offset_of!(Group, snaplen));
        self.caller.group = Some(group);
        self.caller.taken = (self.programs.len() > 1).then_some(taken);
        self.b.def_var(self.frames, frames);
        let zero = self.b.ins().iconst(I64, 0);
        self.b.def_var(self.bits, zero);
        let (head, body, end) =
            (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.next_frame = Some(head);
        self.b.ins().jump(head, &[]);

        self.b.switch_to_block(head);
        let left = self.b.use_var(self.frames);
        self.b.ins().brif(left, body, &[], end, &[]);

        self.b.switch_to_block(end);
        if self.caller.taken.is_none() {
            let bits = self.b.use_var(self.bits);
            let before = self.b.ins().load(I64, flags(), taken, 0);
            let bits = self.b.ins().bor(bits, before);
            self.b.ins().store(flags(), bits, taken, 0);
        }
        self.b.ins().return_(&[]);

        self.b.switch_to_block(body);
        let place = self.b.ins().ctz(left);
        let fewer = self.b.ins().iadd_imm(left, -1);
        let fewer = self.b.ins().band(left, fewer);
        self.b.def_var(self.frames, fewer);
        let bytes = self.element(I64, all_bytes, place, 3);
        let captured = self.element(I32, all_captured, place, 2);
        let captured = self.b.ins().umin(captured, snaplen);
        self.view = Some(View { bytes, captured, place });
        self.choose_way();
    }

    pub(super) fn first(&self, way: Way) -> (State, Node) {
        let state = State::start(Facts::default());
        (state.clone(), Node { way, program: 0, at: ENTRY, state })
    }

    /// One test of the captured length for all constant offsets.
    pub(super) fn choose_way(&mut self) {
        if self.reach == 0 {
            let (state, node) = self.first(Way::Fast);
            return self.go(&state, node);
        }
        let (_, captured) = self.piece();
        let fast = self.edge(self.first(Way::Fast));
        let slow = self.edge(self.first(Way::Slow));
        self.b.set_cold_block(slow);
        let enough =
            self.b.ins().icmp_imm(IntCC::UnsignedGreaterThanOrEqual, captured, self.reach as i64);
        self.b.ins().brif(enough, fast, &[], slow, &[]);
    }

    pub(super) fn follow(&mut self) {
        loop {
            if let Some((block, state, node)) = self.edges.pop() {
                self.b.switch_to_block(block);
                self.go(&state, node);
            } else if let Some((block, node)) = self.pending.pop() {
                self.b.switch_to_block(block);
                self.run(node);
            } else {
                return;
            }
        }
    }
}
