// The API as celestia-node's own Go client declares it (nodebuilder/{blob,header,share,state,node}): functions that go-jsonrpc fills in,
// over the types of Celestia's own libraries. No type here knows of Dougong.
package main

import (
	"context"
	"encoding/json"

	"github.com/celestiaorg/go-square/v3/share"
	"github.com/celestiaorg/nmt"
	"github.com/cometbft/cometbft/crypto/merkle"
	"github.com/cometbft/cometbft/libs/bytes"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/types"
)

type API struct {
	Blob struct {
		Submit             func(context.Context, []*Blob, *TxConfig) (uint64, error)
		Get                func(context.Context, uint64, share.Namespace, []byte) (*Blob, error)
		GetAll             func(context.Context, uint64, []share.Namespace) ([]*Blob, error)
		GetProof           func(context.Context, uint64, share.Namespace, []byte) (*[]*nmt.Proof, error)
		Included           func(context.Context, uint64, share.Namespace, *[]*nmt.Proof, []byte) (bool, error)
		GetCommitmentProof func(context.Context, uint64, share.Namespace, []byte) (*CommitmentProof, error)
		Subscribe          func(context.Context, share.Namespace) (<-chan *SubscriptionResponse, error)
	}
	Header struct {
		LocalHead        func(context.Context) (*ExtendedHeader, error)
		GetByHeight      func(context.Context, uint64) (*ExtendedHeader, error)
		GetByHash        func(context.Context, bytes.HexBytes) (*ExtendedHeader, error)
		GetRangeByHeight func(context.Context, *ExtendedHeader, uint64) ([]*ExtendedHeader, error)
		WaitForHeight    func(context.Context, uint64) (*ExtendedHeader, error)
		SyncWait         func(context.Context) error
		Subscribe        func(context.Context) (<-chan *ExtendedHeader, error)
	}
	Share struct {
		GetShare         func(context.Context, uint64, int, int) (share.Share, error)
		GetSamples       func(context.Context, uint64, []Coordinates) ([]Sample, error)
		GetNamespaceData func(context.Context, uint64, share.Namespace) ([]Row, error)
		GetRange         func(context.Context, uint64, int, int) (*Range, error)
		SharesAvailable  func(context.Context, uint64) error
	}
	State struct {
		AccountAddress func(context.Context) (string, error)
		Balance        func(context.Context) (*Coin, error)
	}
	Node struct {
		Ready   func(context.Context) (bool, error)
		AuthNew func(context.Context, []string) (string, error)
	}
}

// Blob in the JSON of celestia-node's blob package.
type Blob struct {
	*share.Blob
	Commitment []byte
	Index      int
}

type jsonBlob struct {
	Namespace    []byte `json:"namespace"`
	Data         []byte `json:"data"`
	ShareVersion uint8  `json:"share_version"`
	Commitment   []byte `json:"commitment"`
	Signer       []byte `json:"signer,omitempty"`
	Index        int    `json:"index"`
}

func (b *Blob) MarshalJSON() ([]byte, error) {
	return json.Marshal(jsonBlob{b.Namespace().Bytes(), b.Data(), b.ShareVersion(), b.Commitment, b.Signer(), b.Index})
}

func (b *Blob) UnmarshalJSON(data []byte) error {
	var shape jsonBlob
	if err := json.Unmarshal(data, &shape); err != nil {
		return err
	}
	namespace, err := share.NewNamespaceFromBytes(shape.Namespace)
	if err != nil {
		return err
	}
	b.Blob, err = share.NewBlob(namespace, shape.Data, shape.ShareVersion, shape.Signer)
	b.Commitment, b.Index = shape.Commitment, shape.Index
	return err
}

type TxConfig struct {
	GasPrice      float64 `json:"gas_price,omitempty"`
	IsGasPriceSet bool    `json:"is_gas_price_set,omitempty"`
	MaxGasPrice   float64 `json:"max_gas_price"`
	Gas           uint64  `json:"gas,omitempty"`
}

// ExtendedHeader as celestia-node's header package reads it: with CometBFT's own decoder.
type ExtendedHeader struct {
	types.Header `json:"header"`
	Commit       *types.Commit       `json:"commit"`
	ValidatorSet *types.ValidatorSet `json:"validator_set"`
	DAH          *struct {
		RowRoots    [][]byte `json:"row_roots"`
		ColumnRoots [][]byte `json:"column_roots"`
	} `json:"dah"`
	// Ours; Celestia's clients do not have it.
	Consensus *struct {
		DataHash bytes.HexBytes `json:"data_hash"`
		Proof    *merkle.Proof  `json:"data_root_proof"`
	} `json:"consensus"`
}

func (h *ExtendedHeader) MarshalJSON() ([]byte, error) {
	type alias ExtendedHeader
	return cmtjson.Marshal((*alias)(h))
}

func (h *ExtendedHeader) UnmarshalJSON(data []byte) error {
	type alias ExtendedHeader
	return cmtjson.Unmarshal(data, (*alias)(h))
}

type SubscriptionResponse struct {
	Blobs  []*Blob
	Height uint64
	Header *types.Header
}

type RowProof struct {
	RowRoots [][]byte        `json:"row_roots"`
	Proofs   []*merkle.Proof `json:"proofs"`
	StartRow uint32          `json:"start_row"`
	EndRow   uint32          `json:"end_row"`
}

type CommitmentProof struct {
	SubtreeRoots      [][]byte     `json:"subtree_roots"`
	SubtreeRootProofs []*nmt.Proof `json:"subtree_root_proofs"`
	NamespaceID       []byte       `json:"namespace_id"`
	RowProof          RowProof     `json:"row_proof"`
	NamespaceVersion  uint8        `json:"namespace_version"`
}

func (p *CommitmentProof) UnmarshalJSON(data []byte) error {
	type alias CommitmentProof
	return cmtjson.Unmarshal(data, (*alias)(p))
}

type Coordinates struct {
	Row int `json:"row"`
	Col int `json:"col"`
}

type Sample struct {
	Share     share.Share `json:"share"`
	Proof     *nmt.Proof  `json:"proof"`
	ProofType int         `json:"proof_type"`
}

type Row struct {
	Shares []share.Share `json:"shares"`
	Proof  *nmt.Proof    `json:"proof"`
}

type Range struct {
	Shares []share.Share
	Proof  *struct {
		Data        [][]byte `json:"data"`
		ShareProofs []struct {
			Start int32    `json:"start"`
			End   int32    `json:"end"`
			Nodes [][]byte `json:"nodes"`
		} `json:"share_proofs"`
		NamespaceID []byte `json:"namespace_id"`
		RowProof    struct {
			RowRoots []bytes.HexBytes `json:"row_roots"`
			Proofs   []*merkle.Proof  `json:"proofs"`
			StartRow uint32           `json:"start_row"`
			EndRow   uint32           `json:"end_row"`
		} `json:"row_proof"`
		NamespaceVersion uint32 `json:"namespace_version"`
	}
}

func (r *Range) UnmarshalJSON(data []byte) error {
	type alias Range
	return cmtjson.Unmarshal(data, (*alias)(r))
}

type Coin struct {
	Denom  string `json:"denom"`
	Amount string `json:"amount"`
}
