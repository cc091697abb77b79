package main

import (
	"crypto/sha256"
	"math/bits"
	"runtime"

	"github.com/celestiaorg/nmt"
	"github.com/celestiaorg/rsmt2d"
)

const namespace = 29

// treesPerCore is celestia-app's.
const treesPerCore = 4

var parity = func() (ns [namespace]byte) {
	for i := range ns {
		ns[i] = 0xff
	}
	return ns
}()

// pool lends namespaced trees that keep their buffers, so that making a root allocates nothing.
type pool struct {
	k    int
	free chan *tree
}

var _ rsmt2d.BufferedTreeConstructor = (*pool)(nil)

func newPool(k int) *pool {
	count := treesPerCore * runtime.GOMAXPROCS(0)
	p := &pool{k, make(chan *tree, count)}
	for range count {
		p.free <- p.new()
	}
	return p
}

func (p *pool) new() *tree {
	return &tree{
		pool: p,
		nmt: nmt.New(sha256.New(), nmt.NamespaceIDSize(namespace), nmt.IgnoreMaxNamespace(true),
			nmt.ReuseBuffers(true), nmt.InitialCapacity(2*p.k)),
		leaves: make([]byte, 2*p.k*(namespace+share)),
	}
}

func (p *pool) TreeCount() int { return cap(p.free) }

func (p *pool) NewConstructor(uint) rsmt2d.TreeConstructorFn {
	return func(_ rsmt2d.Axis, index uint) rsmt2d.Tree {
		var t *tree
		select {
		case t = <-p.free:
		default:
			t = p.new()
		}
		t.original, t.at = int(index) < p.k, 0
		t.nmt.Reset()
		return t
	}
}

// tree puts the namespace before each share that nmt is given: its own in the original quadrant, parity elsewhere.
type tree struct {
	pool     *pool
	nmt      *nmt.NamespacedMerkleTree
	leaves   []byte
	original bool
	at       int
}

func (t *tree) Push(data []byte) error {
	const size = namespace + share
	leaf := t.leaves[t.at*size : (t.at+1)*size : (t.at+1)*size]
	if t.original && t.at < t.pool.k {
		copy(leaf, data[:namespace])
	} else {
		copy(leaf, parity[:])
	}
	copy(leaf[namespace:], data)
	t.at++
	return t.nmt.Push(leaf)
}

func (t *tree) Root() ([]byte, error) {
	root, err := t.nmt.Root()
	// The root lies in a buffer that the next user of this tree writes to.
	root = append([]byte(nil), root...)
	select {
	case t.pool.free <- t:
	default:
	}
	return root, err
}

// dataRoot is the RFC 6962 root over row roots and then column roots, a power of two of them.
func dataRoot(roots [][]byte) []byte {
	level := make([][32]byte, len(roots))
	for i, root := range roots {
		level[i] = sha256.Sum256(append([]byte{0}, root...))
	}
	for range bits.TrailingZeros(uint(len(roots))) {
		for i := range len(level) / 2 {
			level[i] = sha256.Sum256(append(append([]byte{1}, level[2*i][:]...), level[2*i+1][:]...))
		}
		level = level[:len(level)/2]
	}
	return level[0][:]
}
