// Command peers times rsmt2d and nmt at what we do with our own kernel, for benches/da_*.py.
//
// It reads lines of JSON and answers each with one. A request with "bytes" is followed by so many raw bytes: the original square, row
// by row. What is timed is what a caller of the library waits for: shares in, all row and column roots and the data root out.
//
// The settings are the fastest that we found: the Leopard codec, a pool of namespaced trees that keep their buffers (what celestia-app
// does in pkg/wrapper), as many at once as TREES says for each core, no garbage collection while the clock runs.
package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/celestiaorg/rsmt2d"
)

const share = 512

type request struct {
	Op    string `json:"op"`
	K     int    `json:"k"`
	Bytes int    `json:"bytes"`
	// For repair: which of the 4k² cells are missing, a byte "1" for each, row by row.
	Missing string `json:"missing"`
	// To measure memory and not time: free memory goes back to the machine first, which makes the run slower.
	Memory bool `json:"memory"`
}

type answer struct {
	Seconds  float64 `json:"seconds"`
	DataRoot string  `json:"data_root"`
	PeakKiB  int     `json:"peak_kib"`
	Error    string  `json:"error,omitempty"`
}

type bench struct {
	k      int
	shares [][]byte
	eds    *rsmt2d.ExtendedDataSquare
	roots  [2][][]byte
	pool   *pool
}

func (b *bench) load(k int, original []byte) error {
	if len(original) != k*k*share {
		return fmt.Errorf("%d bytes are not %d x %d shares", len(original), k, k)
	}
	*b = bench{k: k, shares: make([][]byte, k*k), pool: newPool(k)}
	for i := range b.shares {
		b.shares[i] = original[i*share : (i+1)*share : (i+1)*share]
	}
	return nil
}

func (b *bench) extend() ([]byte, float64, error) {
	start := time.Now()
	eds, err := rsmt2d.ComputeExtendedDataSquareWithBuffer(b.shares, rsmt2d.NewLeoRSCodec(), b.pool)
	if err != nil {
		return nil, 0, err
	}
	root, err := b.commit(eds)
	return root, time.Since(start).Seconds(), err
}

func (b *bench) commit(eds *rsmt2d.ExtendedDataSquare) ([]byte, error) {
	rows, err := eds.RowRoots()
	if err != nil {
		return nil, err
	}
	columns, err := eds.ColRoots()
	if err != nil {
		return nil, err
	}
	b.eds, b.roots = eds, [2][][]byte{rows, columns}
	return dataRoot(append(append([][]byte{}, rows...), columns...)), nil
}

func (b *bench) repair(missing string) ([]byte, float64, error) {
	cells := b.eds.Flattened()
	if len(missing) != len(cells) {
		return nil, 0, fmt.Errorf("%d cells, not %d", len(missing), len(cells))
	}
	for i := range cells {
		if missing[i] == '1' {
			cells[i] = nil
		}
	}
	start := time.Now()
	eds, err := rsmt2d.ImportExtendedDataSquare(cells, rsmt2d.NewLeoRSCodec(), b.pool.NewConstructor(uint(b.k)))
	if err != nil {
		return nil, 0, err
	}
	if err := eds.Repair(b.roots[0], b.roots[1]); err != nil {
		return nil, 0, err
	}
	seconds := time.Since(start).Seconds()
	before := b.eds
	root, err := b.commit(eds)
	b.eds = before
	return root, seconds, err
}

// peak is the most memory that the process has held since it was last asked.
func peak() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	kib := 0
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmHWM:") {
			_, _ = fmt.Sscan(strings.TrimPrefix(line, "VmHWM:"), &kib)
		}
	}
	return kib
}

func prepare(memory bool) {
	if !memory {
		runtime.GC()
		return
	}
	debug.FreeOSMemory()
	// 5 resets the high-water mark (proc(5)); where the kernel does not let us the figure is that of the process' life.
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

func (b *bench) answer(r request, body []byte) (out answer) {
	var root []byte
	var err error
	switch r.Op {
	case "load":
		err = b.load(r.K, body)
	case "extend":
		b.eds = nil
		prepare(r.Memory)
		root, out.Seconds, err = b.extend()
	case "repair":
		prepare(r.Memory)
		root, out.Seconds, err = b.repair(r.Missing)
	default:
		err = fmt.Errorf("no such operation: %q", r.Op)
	}
	out.PeakKiB, out.DataRoot = peak(), hex.EncodeToString(root)
	if err != nil {
		out.Error = err.Error()
	}
	return out
}

func run(in io.Reader, out io.Writer) error {
	reader, writer := bufio.NewReaderSize(in, 1<<20), json.NewEncoder(out)
	var b bench
	for {
		line, err := reader.ReadBytes('\n')
		if err == io.EOF && len(bytes.TrimSpace(line)) == 0 {
			return nil
		} else if err != nil {
			return err
		}
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		body := make([]byte, r.Bytes)
		if _, err := io.ReadFull(reader, body); err != nil {
			return err
		}
		if err := writer.Encode(b.answer(r, body)); err != nil {
			return err
		}
	}
}

func main() {
	debug.SetGCPercent(-1)
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
