// Command porcupine-check tells if a recorded history is linearizable.
//
// It reads JSON lines (see operation) from a file, prints one JSON object, and
// exits with 0 (linearizable), 1 (not), 2 (bad input) or 3 (ran out of time).
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

func main() {
	timeout := flag.Duration("timeout", time.Minute, "give up after this long")
	picture := flag.String("visualize", "", "write an HTML page to this file")
	flag.Parse()
	if flag.NArg() != 1 {
		fail(fmt.Errorf("usage: porcupine-check [flags] HISTORY"))
	}
	operations, err := load(flag.Arg(0))
	if err != nil {
		fail(err)
	}
	kept := dropUnobserved(operations)
	history := toHistory(kept)
	started := time.Now()
	result, info := porcupine.CheckOperationsVerbose(model, history, *timeout)
	if *picture != "" && result != porcupine.Ok {
		if err := porcupine.VisualizePath(model, info, *picture); err != nil {
			fail(err)
		}
	}
	report := map[string]any{
		"result":     string(result),
		"operations": len(operations),
		"checked":    len(kept),
		"seconds":    time.Since(started).Seconds(),
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		fail(err)
	}
	os.Exit(map[porcupine.CheckResult]int{
		porcupine.Ok: 0, porcupine.Illegal: 1, porcupine.Unknown: 3,
	}[result])
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}

func load(path string) ([]operation, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var operations []operation
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for line := 1; scanner.Scan(); line++ {
		var o operation
		if err := json.Unmarshal(scanner.Bytes(), &o); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		switch o.Op {
		case "put", "get", "cas", "delete":
		default:
			return nil, fmt.Errorf("%s:%d: unknown operation %q", path, line, o.Op)
		}
		operations = append(operations, o)
	}
	return operations, scanner.Err()
}

// dropUnobserved removes what cannot change the verdict: reads without an
// answer, and writes of unknown outcome whose (unique) value nobody ever saw.
// Every answer says what the key held, so an effect that no answer shows
// constrains nothing; left in, each would double the search.
func dropUnobserved(operations []operation) []operation {
	seen := map[string]bool{}
	for _, o := range operations {
		if !o.Unknown && o.SeenFound {
			seen[o.Key+"\x00"+o.SeenValue] = true
		}
	}
	var kept []operation
	for _, o := range operations {
		writes := o.Op == "put" || o.Op == "cas"
		if o.Unknown && (o.Op == "get" || (writes && !seen[o.Key+"\x00"+o.Value])) {
			continue
		}
		kept = append(kept, o)
	}
	return kept
}

func toHistory(operations []operation) []porcupine.Operation {
	history := make([]porcupine.Operation, 0, len(operations))
	for i, o := range operations {
		end := o.ReturnNs
		client := o.Client
		if o.Unknown {
			end = math.MaxInt64
			// The client went on meanwhile; its own line must not overlap.
			client = 1_000_000 + i
		}
		history = append(history, porcupine.Operation{
			ClientId: client, Input: o, Call: o.CallNs, Return: end,
		})
	}
	return history
}
