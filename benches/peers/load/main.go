// Command load sends signed transactions to an Ethereum JSON-RPC server and waits for every receipt, for benches/evm_*.py.
//
//	load -url http://127.0.0.1:8545 -file transactions.txt -batch 200 -connections 4
//
// A line of the file is a raw transaction and its hash, both 0x-hex. Every request is made before the clock starts; it runs from the
// first byte sent to the last receipt, and each receipt must say success. With -mine blocks are made by calling evm_mine: after
// each so many transactions, and while receipts are missing. The same program, with the same flags, runs before every server; it
// uses one core at most and says how long it kept it busy.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const pause = 2 * time.Millisecond // before a receipt that was not there is asked for again, alone

var success = []byte(`"status":"0x1"`)

type request struct {
	body  []byte
	last  []byte // its last call alone
	calls int
}

type result struct {
	Transactions int     `json:"transactions"`
	Seconds      float64 `json:"seconds"`
	SentSeconds  float64 `json:"sent_seconds"`
	ClientCPU    float64 `json:"client_cpu_seconds"`
}

type server struct {
	url    string
	client http.Client
}

func (s *server) post(body []byte, reply *bytes.Buffer) error {
	answer, err := s.client.Post(s.url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	reply.Reset()
	if _, err = reply.ReadFrom(answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %.200s", answer.StatusCode, reply.Bytes())
	}
	return nil
}

// group makes requests of `batch` calls each; a batch of one is a single call, not an array.
func group(method string, params []string, batch int) []request {
	var requests []request
	for at := 0; at < len(params); at += batch {
		some := params[at:min(at+batch, len(params))]
		var calls [][]byte
		for i, param := range some {
			calls = append(calls, fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"%s","params":["%s"]}`, at+i, method, param))
		}
		body, last := bytes.Join(calls, []byte{','}), calls[len(calls)-1]
		if batch > 1 {
			body = append(append([]byte{'['}, body...), ']')
		}
		requests = append(requests, request{body, last, len(some)})
	}
	return requests
}

// each hands the requests out to so many connections, in order.
func each(requests []request, connections int, do func(request, *bytes.Buffer) error) error {
	var next atomic.Int64
	var wait sync.WaitGroup
	failures := make(chan error, connections)
	for range connections {
		wait.Go(func() {
			reply := bytes.NewBuffer(make([]byte, 0, 1<<20))
			for {
				at := int(next.Add(1)) - 1
				if at >= len(requests) {
					return
				}
				if err := do(requests[at], reply); err != nil {
					failures <- err
					next.Store(int64(len(requests)))
					return
				}
			}
		})
	}
	wait.Wait()
	close(failures)
	return <-failures
}

func run(s *server, raws, hashes []string, batch, connections, mine int) (result, error) {
	sends, asks := group("eth_sendRawTransaction", raws, batch), group("eth_getTransactionReceipt", hashes, batch)
	block := []byte(`{"jsonrpc":"2.0","id":0,"method":"evm_mine","params":[]}`)
	var sent atomic.Int64
	debug.SetGCPercent(-1)
	start := time.Now()
	err := each(sends, connections, func(r request, reply *bytes.Buffer) error {
		if err := s.post(r.body, reply); err != nil {
			return err
		}
		if found := bytes.Count(reply.Bytes(), []byte(`"result":"0x`)); found != r.calls || bytes.Contains(reply.Bytes(), []byte(`"error"`)) {
			return fmt.Errorf("%d of %d transactions were taken: %.400s", found, r.calls, reply.Bytes())
		}
		before := sent.Add(int64(r.calls)) - int64(r.calls)
		if mine > 0 && before/int64(mine) != (before+int64(r.calls))/int64(mine) {
			return s.post(block, reply)
		}
		return nil
	})
	sentSeconds := time.Since(start).Seconds()
	if err == nil {
		err = each(asks, connections, func(r request, reply *bytes.Buffer) error {
			body, calls := r.body, r.calls
			for {
				if err := s.post(body, reply); err != nil {
					return err
				}
				if bytes.Count(reply.Bytes(), success) == calls {
					if calls == r.calls {
						return nil
					}
					body, calls = r.body, r.calls
					continue
				}
				if bytes.Contains(reply.Bytes(), []byte(`"status":"0x0"`)) || bytes.Contains(reply.Bytes(), []byte(`"error"`)) {
					return fmt.Errorf("a receipt is not a success: %.400s", reply.Bytes())
				}
				// Receipts cost some servers much: until the last is there no others are asked for.
				body, calls = r.last, 1
				if mine > 0 {
					if err := s.post(block, reply); err != nil {
						return err
					}
				} else {
					time.Sleep(pause)
				}
			}
		})
	}
	seconds := time.Since(start).Seconds()
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	cpu := float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
	return result{len(raws), seconds, sentSeconds, cpu}, err
}

func read(from io.Reader) (raws, hashes []string, err error) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		raw, hash, found := strings.Cut(lines.Text(), " ")
		if !found {
			return nil, nil, fmt.Errorf("a line without a hash: %.80s", lines.Text())
		}
		raws, hashes = append(raws, raw), append(hashes, hash)
	}
	return raws, hashes, lines.Err()
}

func main() {
	url := flag.String("url", "", "the JSON-RPC's address")
	file := flag.String("file", "", "raw transactions and their hashes")
	batch := flag.Int("batch", 200, "calls in a request")
	connections := flag.Int("connections", 4, "requests under way at a time")
	mine := flag.Int("mine", 0, "call evm_mine after so many transactions")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	input, err := os.Open(*file)
	var raws, hashes []string
	if err == nil {
		raws, hashes, err = read(input)
	}
	var found result
	if err == nil {
		s := &server{*url, http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *connections, DisableCompression: true}}}
		found, err = run(s, raws, hashes, *batch, *connections, *mine)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(found)
}
