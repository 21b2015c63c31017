package main

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

func verdict(operations ...operation) porcupine.CheckResult {
	history := toHistory(dropUnobserved(operations))
	return porcupine.CheckOperationsTimeout(model, history, time.Minute)
}

func at(call, end int64, o operation) operation {
	o.Key, o.CallNs, o.ReturnNs = "k", call, end
	return o
}

func put(value string, revision int64) operation {
	return operation{Op: "put", Value: value, Revision: revision}
}

func get(value string, mod, revision int64) operation {
	return operation{Op: "get", SeenFound: mod != 0, SeenValue: value, SeenMod: mod, Revision: revision}
}

func TestVerdicts(t *testing.T) {
	overwrite := put("b", 3)
	overwrite.SeenFound, overwrite.SeenValue, overwrite.SeenMod = true, "a", 2
	unknownPut := operation{Op: "put", Value: "b", Unknown: true}
	held := operation{Op: "cas", Value: "c", Expect: 2, Revision: 4, Succeeded: true}
	missed := get("b", 3, 3)
	missed.Op, missed.Expect, missed.Value = "cas", 2, "c"
	deleted := get("a", 2, 3)
	deleted.Op = "delete"
	cases := []struct {
		name    string
		want    porcupine.CheckResult
		history []operation
	}{
		{"in order", porcupine.Ok, []operation{
			at(1, 2, put("a", 2)), at(3, 4, get("a", 2, 2)), at(5, 6, overwrite)}},
		{"stale read", porcupine.Illegal, []operation{
			at(1, 2, put("a", 2)), at(3, 4, overwrite), at(5, 6, get("a", 2, 2))}},
		{"lost write", porcupine.Illegal, []operation{
			at(1, 2, put("a", 2)), at(3, 4, get("", 0, 2))}},
		{"revision goes back", porcupine.Illegal, []operation{
			at(1, 2, get("", 0, 9)), at(3, 4, put("a", 5))}},
		{"unknown write seen", porcupine.Ok, []operation{
			at(1, 2, put("a", 2)), at(3, 4, unknownPut), at(9, 10, get("b", 3, 3))}},
		{"unknown write never seen", porcupine.Ok, []operation{
			at(1, 2, put("a", 2)), at(3, 4, unknownPut), at(9, 10, get("a", 2, 2))}},
		{"unknown write seen, then gone", porcupine.Illegal, []operation{
			at(1, 2, put("a", 2)), at(3, 4, unknownPut),
			at(9, 10, get("b", 3, 3)), at(11, 12, get("a", 2, 3))}},
		{"cas held on an old value", porcupine.Illegal, []operation{
			at(1, 2, put("a", 2)), at(3, 4, overwrite), at(5, 6, held)}},
		{"cas held", porcupine.Ok, []operation{
			at(1, 2, put("a", 2)), at(3, 4, held), at(5, 6, get("c", 4, 4))}},
		{"cas missed", porcupine.Ok, []operation{
			at(1, 2, put("a", 2)), at(3, 4, overwrite), at(5, 6, missed)}},
		{"delete", porcupine.Ok, []operation{
			at(1, 2, put("a", 2)), at(3, 4, deleted), at(5, 6, get("", 0, 3))}},
		{"deleted but read", porcupine.Illegal, []operation{
			at(1, 2, put("a", 2)), at(3, 4, deleted), at(5, 6, get("a", 2, 3))}},
	}
	for _, c := range cases {
		if got := verdict(c.history...); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
