package main

import (
	"crypto/sha256"

	"github.com/celestiaorg/go-square/v3"
	"github.com/celestiaorg/go-square/v3/inclusion"
	"github.com/celestiaorg/go-square/v3/share"
	"github.com/celestiaorg/go-square/v3/tx"
)

// threshold is celestia-app's SubtreeRootThreshold.
const threshold = 64

type blob struct {
	Namespace []byte `json:"namespace"`
	Data      []byte `json:"data"`
	Version   uint8  `json:"version"`
	Signer    []byte `json:"signer"`
}

func (b blob) parsed() (*share.Blob, error) {
	namespace, err := share.NewNamespaceFromBytes(b.Namespace)
	if err != nil {
		return nil, err
	}
	signer := b.Signer
	if len(signer) == 0 {
		signer = nil
	}
	return share.NewBlob(namespace, b.Data, b.Version, signer)
}

type layout struct {
	Size   int      `json:"size"`
	Shares []byte   `json:"shares_sha256"`
	Txs    [][]byte `json:"txs"`
	// Ranges has, for each blob transaction in order, [start, end) of each of its blobs.
	Ranges [][][2]int `json:"ranges"`
}

func layoutOf(made square.Square, txs [][]byte, maxSize int) (any, error) {
	shares := sha256.New()
	for _, one := range made {
		shares.Write(one.ToBytes())
	}
	out := layout{made.Size(), shares.Sum(nil), txs, [][][2]int{}}
	for index, raw := range txs {
		blobTx, isBlobTx, err := tx.UnmarshalBlobTx(raw)
		if !isBlobTx {
			continue
		} else if err != nil {
			return nil, err
		}
		ranges := [][2]int{}
		for at := range blobTx.Blobs {
			found, err := square.BlobShareRange(txs, index, at, maxSize, threshold)
			if err != nil {
				return nil, err
			}
			ranges = append(ranges, [2]int{found.Start, found.End})
		}
		out.Ranges = append(out.Ranges, ranges)
	}
	return out, nil
}

// build: a proposer's square of Txs, which leaves out what does not fit in MaxSize.
func build(r request, _ []byte) (any, error) {
	made, txs, err := square.Build(r.Txs, r.MaxSize, threshold)
	if err != nil {
		return nil, err
	}
	return layoutOf(made, txs, r.MaxSize)
}

// construct: the square of a block of Txs.
func construct(r request, _ []byte) (any, error) {
	made, err := square.Construct(r.Txs, r.MaxSize, threshold)
	if err != nil {
		return nil, err
	}
	return layoutOf(made, r.Txs, r.MaxSize)
}

type described struct {
	Commitment []byte `json:"commitment"`
	Shares     []byte `json:"shares"`
}

// blobs: the shares and the commitment of each of Blobs.
func blobs(r request, _ []byte) (any, error) {
	out := []described{}
	for _, given := range r.Blobs {
		parsed, err := given.parsed()
		if err != nil {
			return nil, err
		}
		commitment, err := inclusion.CreateCommitment(parsed, merkleRoot, threshold)
		if err != nil {
			return nil, err
		}
		shares, err := parsed.ToShares()
		if err != nil {
			return nil, err
		}
		made := described{Commitment: commitment}
		for _, one := range shares {
			made.Shares = append(made.Shares, one.ToBytes()...)
		}
		out = append(out, made)
	}
	return out, nil
}

// parse: the blobs in a body of shares, in order.
func parse(_ request, body []byte) (any, error) {
	raw := [][]byte{}
	for at := 0; at+shareSize <= len(body); at += shareSize {
		raw = append(raw, body[at:at+shareSize])
	}
	shares, err := share.FromBytes(raw)
	if err != nil {
		return nil, err
	}
	found, err := share.ParseBlobs(shares)
	if err != nil {
		return nil, err
	}
	out := []blob{}
	for _, one := range found {
		out = append(out, blob{one.Namespace().Bytes(), one.Data(), one.ShareVersion(), one.Signer()})
	}
	return out, nil
}
