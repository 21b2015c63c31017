package main

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// operation is one line of a history: what a client asked and what it was told.
//
// Times are nanoseconds of one clock. A write whose outcome the client never
// learnt has Unknown set and its answer fields empty.
type operation struct {
	Client   int    `json:"client"`
	Op       string `json:"op"` // put, get, cas or delete
	Key      string `json:"key"`
	Value    string `json:"value"`      // what a put or cas writes
	Expect   int64  `json:"expect_mod"` // cas: mod_revision it insists on, 0 = absent
	CallNs   int64  `json:"call_ns"`
	ReturnNs int64  `json:"return_ns"`

	Unknown   bool   `json:"unknown"`
	Revision  int64  `json:"revision"`  // the reply's header revision
	Succeeded bool   `json:"succeeded"` // cas: the compare held
	SeenFound bool   `json:"seen_found"`
	SeenValue string `json:"seen_value"` // the key as read, or as it was before a write
	SeenMod   int64  `json:"seen_mod"`
}

// unknownMod marks a value whose revision nobody was told.
const unknownMod = -1

// state is one key after a prefix of the linearization.
//
// Floor is the newest revision that is known to have passed: every later
// write of the key must have a greater one, every later read at least it.
type state struct {
	Exists bool
	Value  string
	Mod    int64
	Floor  int64
}

func (s state) matches(o operation) bool {
	if o.SeenFound != s.Exists {
		return false
	}
	if !s.Exists {
		return true
	}
	if o.SeenValue != s.Value {
		return false
	}
	if s.Mod == unknownMod {
		return o.SeenMod > 0
	}
	return o.SeenMod == s.Mod
}

func step(before, input, _ any) (bool, any) {
	s, o := before.(state), input.(operation)
	if o.Unknown {
		return true, afterUnknown(s, o)
	}
	// A cas that held proves its revision itself and reads nothing.
	held := o.Op == "cas" && o.Succeeded
	if !held && !s.matches(o) {
		return false, s
	}
	switch {
	case o.Op == "get", o.Op == "cas" && !o.Succeeded, o.Op == "delete" && !o.SeenFound:
		if o.Revision < s.Floor || (o.Op == "cas" && o.SeenMod == o.Expect) {
			return false, s
		}
		s.Floor = o.Revision
		if s.Exists {
			s.Mod = o.SeenMod
		}
		return true, s
	case held:
		mod := s.Mod
		if !s.Exists {
			mod = 0
		}
		if mod != o.Expect || o.Revision <= s.Floor {
			return false, s
		}
		return true, state{true, o.Value, o.Revision, o.Revision}
	case o.Revision <= s.Floor:
		return false, s
	case o.Op == "put":
		return true, state{true, o.Value, o.Revision, o.Revision}
	default: // a delete that found the key
		return true, state{Floor: o.Revision}
	}
}

// afterUnknown assumes that the write took effect. One that never did is
// placed after everything else, since its return time is the end of history.
func afterUnknown(s state, o operation) state {
	switch o.Op {
	case "put":
		return state{true, o.Value, unknownMod, s.Floor}
	case "cas":
		mod := s.Mod
		if !s.Exists {
			mod = 0
		}
		// The client had read Expect before, so a value of unknown revision
		// here is a different one and the compare cannot have held.
		if mod == o.Expect {
			return state{true, o.Value, unknownMod, s.Floor}
		}
	case "delete":
		return state{Floor: s.Floor}
	}
	return s
}

var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, entry := range history {
			key := entry.Input.(operation).Key
			byKey[key] = append(byKey[key], entry)
		}
		parts := make([][]porcupine.Operation, 0, len(byKey))
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init:  func() any { return state{} },
	Step:  step,
	Equal: func(a, b any) bool { return a == b },
	DescribeOperation: func(input, _ any) string {
		o := input.(operation)
		if o.Unknown {
			return fmt.Sprintf("%s(%s, %q) -> ?", o.Op, o.Key, o.Value)
		}
		return fmt.Sprintf("%s(%s, %q, expect %d) -> rev %d ok %t saw %t %q@%d",
			o.Op, o.Key, o.Value, o.Expect, o.Revision, o.Succeeded,
			o.SeenFound, o.SeenValue, o.SeenMod)
	},
	DescribeState: func(s any) string { return fmt.Sprintf("%+v", s) },
}
