// Command oracles answers what Celestia's own libraries answer: rsmt2d (squares, repair), nmt (trees, proofs) and go-square (layout,
// shares, commitments). The tests that ask it compare bit for bit.
//
// It reads lines of JSON and answers each with one. A request with "bytes" is followed by so many raw bytes: its body.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// request is what an operation needs; each says which fields it reads.
type request struct {
	Op    string `json:"op"`
	Bytes int    `json:"bytes"`

	Missing string   `json:"missing"`
	Rows    [][]byte `json:"rows"`
	Columns [][]byte `json:"columns"`

	Axis      int    `json:"axis"`
	Index     int    `json:"index"`
	Start     int    `json:"start"`
	End       int    `json:"end"`
	Namespace []byte `json:"namespace"`

	Txs     [][]byte `json:"txs"`
	MaxSize int      `json:"max_size"`
	Blobs   []blob   `json:"blobs"`
}

var operations = map[string]func(request, []byte) (any, error){
	"extend":          extend,
	"commit":          commit,
	"repair":          repair,
	"prove_range":     proveRange,
	"prove_namespace": proveNamespace,
	"build":           build,
	"construct":       construct,
	"blobs":           blobs,
	"parse":           parse,
}

func answer(line []byte, body func(int) ([]byte, error)) (any, error) {
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, err
	}
	read, err := body(r.Bytes)
	if err != nil {
		return nil, err
	}
	operation, ok := operations[r.Op]
	if !ok {
		return nil, fmt.Errorf("no such operation: %q", r.Op)
	}
	return operation(r, read)
}

func run(in io.Reader, out io.Writer) error {
	reader, writer := bufio.NewReaderSize(in, 1<<20), json.NewEncoder(out)
	body := func(count int) ([]byte, error) {
		read := make([]byte, count)
		_, err := io.ReadFull(reader, read)
		return read, err
	}
	for {
		line, err := reader.ReadBytes('\n')
		if err == io.EOF && len(bytes.TrimSpace(line)) == 0 {
			return nil
		} else if err != nil {
			return err
		}
		given, err := answer(line, body)
		if err != nil {
			given = map[string]string{"error": err.Error()}
		}
		if err := writer.Encode(given); err != nil {
			return err
		}
	}
}

func main() {
	// Big squares make much garbage, and there is memory.
	debug.SetGCPercent(400)
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
