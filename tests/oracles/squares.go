package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"

	"github.com/celestiaorg/nmt"
	"github.com/celestiaorg/rsmt2d"
)

const (
	shareSize     = 512
	namespaceSize = 29
)

var parity = bytes.Repeat([]byte{0xff}, namespaceSize)

// tree is the tree of one axis as celestia-app's pkg/wrapper makes it: cells of the original quadrant under their own namespaces, all
// others under that of parity.
type tree struct {
	nmt      *nmt.NamespacedMerkleTree
	k        int
	original bool
	pushed   int
}

func newTree(k int, index int) *tree {
	made := nmt.New(sha256.New(), nmt.NamespaceIDSize(namespaceSize), nmt.IgnoreMaxNamespace(true))
	return &tree{nmt: made, k: k, original: index < k}
}

func (t *tree) Push(share []byte) error {
	namespace := parity
	if t.original && t.pushed < t.k {
		namespace = share[:namespaceSize]
	}
	t.pushed++
	leaf := make([]byte, 0, namespaceSize+shareSize)
	return t.nmt.Push(append(append(leaf, namespace...), share...))
}

func (t *tree) Root() ([]byte, error) { return t.nmt.Root() }

func trees(k int) rsmt2d.TreeConstructorFn {
	return func(_ rsmt2d.Axis, index uint) rsmt2d.Tree { return newTree(k, int(index)) }
}

func split(body []byte) ([][]byte, int, error) {
	count := len(body) / shareSize
	width := int(math.Sqrt(float64(count)))
	if width*width*shareSize != len(body) {
		return nil, 0, fmt.Errorf("%d bytes are not a square of shares", len(body))
	}
	shares := make([][]byte, count)
	for i := range shares {
		shares[i] = body[i*shareSize : (i+1)*shareSize : (i+1)*shareSize]
	}
	return shares, width, nil
}

type header struct {
	Rows     [][]byte `json:"rows"`
	Columns  [][]byte `json:"columns"`
	DataRoot []byte   `json:"data_root"`
	Cells    []byte   `json:"cells_sha256"`
}

func headerOf(eds *rsmt2d.ExtendedDataSquare) (any, error) {
	rows, err := eds.RowRoots()
	if err != nil {
		return nil, err
	}
	columns, err := eds.ColRoots()
	if err != nil {
		return nil, err
	}
	cells := sha256.New()
	for _, cell := range eds.Flattened() {
		cells.Write(cell)
	}
	return header{rows, columns, merkleRoot(append(append([][]byte{}, rows...), columns...)), cells.Sum(nil)}, nil
}

// extend: the body is an original square.
func extend(_ request, body []byte) (any, error) {
	shares, k, err := split(body)
	if err != nil {
		return nil, err
	}
	eds, err := rsmt2d.ComputeExtendedDataSquare(shares, rsmt2d.NewLeoRSCodec(), trees(k))
	if err != nil {
		return nil, err
	}
	return headerOf(eds)
}

// commit: the body is all cells of an extended square, which are hashed as they are.
func commit(_ request, body []byte) (any, error) {
	cells, width, err := split(body)
	if err != nil {
		return nil, err
	}
	eds, err := rsmt2d.ImportExtendedDataSquare(cells, rsmt2d.NewLeoRSCodec(), trees(width/2))
	if err != nil {
		return nil, err
	}
	return headerOf(eds)
}

// repair: the body is all cells; those with a '1' in Missing are not given. Rows and Columns are the roots.
func repair(r request, body []byte) (any, error) {
	cells, width, err := split(body)
	if err != nil {
		return nil, err
	}
	for i := range cells {
		if r.Missing[i] == '1' {
			cells[i] = nil
		}
	}
	eds, err := rsmt2d.ImportExtendedDataSquare(cells, rsmt2d.NewLeoRSCodec(), trees(width/2))
	if err != nil {
		return nil, err
	}
	err = eds.Repair(r.Rows, r.Columns)
	var bad *rsmt2d.ErrByzantineData
	if errors.As(err, &bad) {
		return map[string]any{"bad": []int{int(bad.Axis), int(bad.Index)}}, nil
	} else if errors.Is(err, rsmt2d.ErrUnrepairableDataSquare) {
		return map[string]any{"unsolved": true}, nil
	} else if err != nil {
		return nil, err
	}
	return headerOf(eds)
}

type proof struct {
	Start int      `json:"start"`
	End   int      `json:"end"`
	Nodes [][]byte `json:"nodes"`
	Leaf  []byte   `json:"leaf"`
}

// axis is the tree over the body, the 2k cells of row or column Index.
func axis(r request, body []byte) (*tree, error) {
	k := len(body) / shareSize / 2
	made := newTree(k, r.Index)
	for at := range 2 * k {
		if err := made.Push(body[at*shareSize : (at+1)*shareSize]); err != nil {
			return nil, err
		}
	}
	return made, nil
}

func proveRange(r request, body []byte) (any, error) {
	made, err := axis(r, body)
	if err != nil {
		return nil, err
	}
	found, err := made.nmt.ProveRange(r.Start, r.End)
	return proof{found.Start(), found.End(), found.Nodes(), found.LeafHash()}, err
}

func proveNamespace(r request, body []byte) (any, error) {
	made, err := axis(r, body)
	if err != nil {
		return nil, err
	}
	found, err := made.nmt.ProveNamespace(r.Namespace)
	return proof{found.Start(), found.End(), found.Nodes(), found.LeafHash()}, err
}

// merkleRoot is that of RFC 6962.
func merkleRoot(leaves [][]byte) []byte {
	switch len(leaves) {
	case 0:
		sum := sha256.Sum256(nil)
		return sum[:]
	case 1:
		sum := sha256.Sum256(append([]byte{0}, leaves[0]...))
		return sum[:]
	}
	left := 1
	for 2*left < len(leaves) {
		left *= 2
	}
	sum := sha256.Sum256(append(append([]byte{1}, merkleRoot(leaves[:left])...), merkleRoot(leaves[left:])...))
	return sum[:]
}
