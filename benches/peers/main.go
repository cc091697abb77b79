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
	"syscall"
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
	CPU      float64 `json:"cpu"`
	DataRoot string  `json:"data_root"`
	// By how much the process grew, where Memory was asked for.
	PeakKiB int    `json:"peak_kib"`
	Error   string `json:"error,omitempty"`
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

// clock measures what a run takes.
type clock struct {
	start time.Time
	cpu   float64
}

func startClock() clock { return clock{time.Now(), cpu()} }

func (c clock) stop(out *answer) {
	out.Seconds, out.CPU = time.Since(c.start).Seconds(), cpu()-c.cpu
}

func (b *bench) extend(out *answer) ([]byte, error) {
	clock := startClock()
	eds, err := rsmt2d.ComputeExtendedDataSquareWithBuffer(b.shares, rsmt2d.NewLeoRSCodec(), b.pool)
	if err != nil {
		return nil, err
	}
	root, err := b.commit(eds)
	clock.stop(out)
	return root, err
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

func (b *bench) repair(missing string, out *answer) ([]byte, error) {
	cells := b.eds.Flattened()
	if len(missing) != len(cells) {
		return nil, fmt.Errorf("%d cells, not %d", len(missing), len(cells))
	}
	for i := range cells {
		if missing[i] == '1' {
			cells[i] = nil
		}
	}
	clock := startClock()
	eds, err := rsmt2d.ImportExtendedDataSquare(cells, rsmt2d.NewLeoRSCodec(), b.pool.NewConstructor(uint(b.k)))
	if err != nil {
		return nil, err
	}
	if err := eds.Repair(b.roots[0], b.roots[1]); err != nil {
		return nil, err
	}
	clock.stop(out)
	before := b.eds
	root, err := b.commit(eds)
	b.eds = before
	return root, err
}

// status is a figure of the process' memory in KiB: VmRSS what it holds, VmHWM the most that it held.
func status(key string) int {
	lines, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	kib := 0
	for _, line := range strings.Split(string(lines), "\n") {
		if strings.HasPrefix(line, key) {
			_, _ = fmt.Sscan(strings.TrimPrefix(line, key), &kib)
		}
	}
	return kib
}

// prepare returns what the process holds before a run.
func prepare(memory bool) int {
	runtime.GC()
	if memory {
		debug.FreeOSMemory()
		// 5 resets the high-water mark (proc(5)); where the system does not let us the figure is that of the process' life.
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	}
	return status("VmRSS:")
}

// cpu is how many seconds all cores together have worked for the process.
func cpu() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}

func (b *bench) answer(r request, body []byte) (out answer) {
	var root []byte
	var err error
	held := 0
	switch r.Op {
	case "load":
		err = b.load(r.K, body)
	case "extend":
		b.eds = nil
		held = prepare(r.Memory)
		root, err = b.extend(&out)
	case "repair":
		held = prepare(r.Memory)
		root, err = b.repair(r.Missing, &out)
	default:
		err = fmt.Errorf("no such operation: %q", r.Op)
	}
	out.PeakKiB, out.DataRoot = status("VmHWM:")-held, hex.EncodeToString(root)
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
