// A client written for celestia-node, run against a node of ours: usage client URL ADMIN-TOKEN.
//
// It has celestia-node's transport (go-jsonrpc) and its libraries' types and verifiers (nmt, go-square, CometBFT), and checks every answer
// with those, over HTTP and over WebSocket. The first thing that does not hold ends it with a message and status 1.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/celestiaorg/go-square/v3/inclusion"
	"github.com/celestiaorg/go-square/v3/share"
	"github.com/celestiaorg/nmt"
	"github.com/cometbft/cometbft/crypto/merkle"
	"github.com/filecoin-project/go-jsonrpc"
)

const threshold = 64

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url, token := os.Args[1], os.Args[2]
	for _, address := range []string{url, strings.Replace(url, "http", "ws", 1)} {
		api, done := dial(ctx, address, token)
		use(ctx, api)
		done()
	}
	api, done := dial(ctx, strings.Replace(url, "http", "ws", 1), token)
	subscribe(ctx, api)
	permissions(ctx, api, url)
	done()
	fmt.Println("all holds")
}

func dial(ctx context.Context, address, token string) (*API, func()) {
	api := &API{}
	var header http.Header
	if token != "" {
		header = http.Header{"Authorization": []string{"Bearer " + token}}
	}
	modules := map[string]any{
		"blob": &api.Blob, "header": &api.Header, "share": &api.Share, "state": &api.State, "node": &api.Node,
	}
	var closers []jsonrpc.ClientCloser
	for name, module := range modules {
		closer, err := jsonrpc.NewClient(ctx, address, name, module, header)
		must(err, "dial "+name)
		closers = append(closers, closer)
	}
	return api, func() {
		for _, closer := range closers {
			closer()
		}
	}
}

func use(ctx context.Context, api *API) {
	namespace := share.MustNewV0Namespace([]byte("oracle"))
	blobs := []*Blob{newBlob(namespace, bytes.Repeat([]byte("a"), 100)), newBlob(namespace, bytes.Repeat([]byte("b"), 20_000))}
	height, err := api.Blob.Submit(ctx, blobs, &TxConfig{MaxGasPrice: 0.4})
	must(err, "Submit")

	header, err := api.Header.GetByHeight(ctx, height)
	must(err, "GetByHeight")
	checkHeader(header)
	again, err := api.Header.GetByHash(ctx, header.Commit.BlockID.Hash)
	must(err, "GetByHash")
	check(again.Height == header.Height, "the hash names the same header")
	first, err := api.Header.WaitForHeight(ctx, 1)
	must(err, "WaitForHeight")
	between, err := api.Header.GetRangeByHeight(ctx, first, 3)
	must(err, "GetRangeByHeight")
	check(len(between) == 1 && between[0].Height == 2, "a range is what lies between")
	must(api.Header.SyncWait(ctx), "SyncWait")
	must(api.Share.SharesAvailable(ctx, height), "SharesAvailable")

	for _, sent := range blobs {
		got, err := api.Blob.Get(ctx, height, namespace, sent.Commitment)
		must(err, "Get")
		check(bytes.Equal(got.Data(), sent.Data()) && bytes.Equal(got.Commitment, sent.Commitment), "Get gives what was sent")
		proof, err := api.Blob.GetProof(ctx, height, namespace, sent.Commitment)
		must(err, "GetProof")
		included, err := api.Blob.Included(ctx, height, namespace, proof, sent.Commitment)
		must(err, "Included")
		check(included, "a blob is included")
		checkCommitment(ctx, api, header, sent, height)
		checkRange(ctx, api, header, got, height)
	}
	all, err := api.Blob.GetAll(ctx, height, []share.Namespace{namespace})
	must(err, "GetAll")
	check(len(all) == 2, "GetAll gives all")
	_, err = api.Blob.Get(ctx, height, namespace, make([]byte, 32))
	check(err != nil && strings.Contains(err.Error(), "blob: not found"), "a blob that is not there is not found")
	_, err = api.Header.GetByHeight(ctx, height+1_000_000)
	check(err != nil && strings.Contains(err.Error(), "given height is from the future"), "heights to come are said to be so")

	checkNamespace(ctx, api, header, namespace, height, true)
	checkNamespace(ctx, api, header, share.MustNewV0Namespace([]byte("oraclf")), height, false)
	checkSamples(ctx, api, header, height)

	address, err := api.State.AccountAddress(ctx)
	must(err, "AccountAddress")
	check(strings.HasPrefix(address, "celestia1"), "an account is a celestia address")
	balance, err := api.State.Balance(ctx)
	must(err, "Balance")
	check(balance.Denom == "utia", "a balance is in utia")
}

func newBlob(namespace share.Namespace, data []byte) *Blob {
	blob, err := share.NewV0Blob(namespace, data)
	must(err, "NewBlob")
	commitment, err := inclusion.CreateCommitment(blob, merkle.HashFromByteSlices, threshold)
	must(err, "CreateCommitment")
	return &Blob{blob, commitment, -1}
}

// As celestia-node's ExtendedHeader.Validate, with the one replacement that docs/celestia.md names.
func checkHeader(header *ExtendedHeader) {
	roots := append(append([][]byte{}, header.DAH.RowRoots...), header.DAH.ColumnRoots...)
	root := merkle.HashFromByteSlices(roots)
	check(bytes.Equal(root, header.DataHash), "the dah hashes to data_hash")
	must(header.ValidateBasic(), "Header.ValidateBasic")
	must(header.Commit.ValidateBasic(), "Commit.ValidateBasic")
	must(header.ValidatorSet.ValidateBasic(), "ValidatorSet.ValidateBasic")
	check(bytes.Equal(header.ValidatorSet.Hash(), header.ValidatorsHash), "the validators are the header's")
	signed := header.Header
	signed.DataHash = header.Consensus.DataHash
	check(bytes.Equal(signed.Hash(), header.Commit.BlockID.Hash), "the header as signed hashes to what was signed")
	err := header.ValidatorSet.VerifyCommitLight(header.ChainID, header.Commit.BlockID, header.Height, header.Commit)
	must(err, "VerifyCommitLight")
	leaf := sha256.Sum256(root)
	must(header.Consensus.Proof.Verify(header.Consensus.DataHash, leaf[:]), "the data root is transaction 0")
}

func checkCommitment(ctx context.Context, api *API, header *ExtendedHeader, sent *Blob, height uint64) {
	proof, err := api.Blob.GetCommitmentProof(ctx, height, sent.Namespace(), sent.Commitment)
	must(err, "GetCommitmentProof")
	check(bytes.Equal(merkle.HashFromByteSlices(proof.SubtreeRoots), sent.Commitment), "subtree roots hash to the commitment")
	shares := 0
	for _, one := range proof.SubtreeRootProofs {
		shares += one.End() - one.Start()
	}
	width, at := inclusion.SubTreeWidth(shares, threshold), 0
	for i, one := range proof.SubtreeRootProofs {
		ranges, err := nmt.ToLeafRanges(one.Start(), one.End(), width)
		must(err, "ToLeafRanges")
		hasher := nmt.NewNmtHasher(sha256.New(), share.NamespaceSize, true)
		ok, err := one.VerifySubtreeRootInclusion(hasher, proof.SubtreeRoots[at:at+len(ranges)], width, proof.RowProof.RowRoots[i])
		must(err, "VerifySubtreeRootInclusion")
		check(ok, "subtree roots lie under their row's root")
		must(proof.RowProof.Proofs[i].Verify(header.DataHash, proof.RowProof.RowRoots[i]), "a row lies under the data root")
		at += len(ranges)
	}
	check(at == len(proof.SubtreeRoots), "every subtree root is proven")
}

func checkRange(ctx context.Context, api *API, header *ExtendedHeader, blob *Blob, height uint64) {
	width := len(header.DAH.RowRoots)
	start := blob.Index/width*(width/2) + blob.Index%width
	shares, err := blob.ToShares()
	must(err, "ToShares")
	found, err := api.Share.GetRange(ctx, height, start, start+len(shares))
	must(err, "GetRange")
	at := 0
	for i, one := range found.Proof.ShareProofs {
		count := int(one.End - one.Start)
		proof := nmt.NewInclusionProof(int(one.Start), int(one.End), one.Nodes, true)
		namespace := append([]byte{byte(found.Proof.NamespaceVersion)}, found.Proof.NamespaceID...)
		root := found.Proof.RowProof.RowRoots[i]
		check(proof.VerifyInclusion(sha256.New(), namespace, found.Proof.Data[at:at+count], root), "shares lie under their row")
		must(found.Proof.RowProof.Proofs[i].Verify(header.DataHash, root), "a row lies under the data root")
		at += count
	}
	for i, one := range found.Shares {
		check(bytes.Equal(one.ToBytes(), shares[i].ToBytes()), "a range gives the blob's shares")
	}
	check(at == len(shares) && len(found.Shares) == len(shares), "a range gives all of them")
}

func checkNamespace(ctx context.Context, api *API, header *ExtendedHeader, namespace share.Namespace, height uint64, present bool) {
	rows, err := api.Share.GetNamespaceData(ctx, height, namespace)
	must(err, "GetNamespaceData")
	at := 0
	for _, root := range header.DAH.RowRoots {
		low, high := nmt.MinNamespace(root, share.NamespaceSize), nmt.MaxNamespace(root, share.NamespaceSize)
		if bytes.Compare(namespace.Bytes(), low) < 0 || bytes.Compare(namespace.Bytes(), high) > 0 {
			continue
		}
		check(at < len(rows), "every row that covers the namespace is answered for")
		leaves := make([][]byte, 0)
		for _, one := range rows[at].Shares {
			leaves = append(leaves, append(namespace.Bytes(), one.ToBytes()...))
		}
		check(rows[at].Proof.VerifyNamespace(sha256.New(), namespace.Bytes(), leaves, root), "a row is complete")
		check(present != rows[at].Proof.IsOfAbsence(), "absence is proven as absence")
		at++
	}
	check(at == len(rows), "and no other")
}

func checkSamples(ctx context.Context, api *API, header *ExtendedHeader, height uint64) {
	width := len(header.DAH.RowRoots)
	places := []Coordinates{{0, 0}, {0, width - 1}, {width - 1, 0}, {width - 1, width - 1}}
	samples, err := api.Share.GetSamples(ctx, height, places)
	must(err, "GetSamples")
	for i, place := range places {
		root, sample := header.DAH.RowRoots[place.Row], samples[i]
		if sample.ProofType == 1 {
			root = header.DAH.ColumnRoots[place.Col]
		}
		namespace := share.ParitySharesNamespace.Bytes()
		if place.Row < width/2 && place.Col < width/2 {
			namespace = sample.Share.Namespace().Bytes()
		}
		leaves := [][]byte{sample.Share.ToBytes()}
		check(sample.Proof.VerifyInclusion(sha256.New(), namespace, leaves, root), "a sample lies under its root")
		one, err := api.Share.GetShare(ctx, height, place.Row, place.Col)
		must(err, "GetShare")
		check(bytes.Equal(one.ToBytes(), sample.Share.ToBytes()), "GetShare gives the same share")
	}
}

func subscribe(ctx context.Context, api *API) {
	namespace := share.MustNewV0Namespace([]byte("news"))
	inner, cancel := context.WithCancel(ctx)
	headers, err := api.Header.Subscribe(inner)
	must(err, "header.Subscribe")
	news, err := api.Blob.Subscribe(inner, namespace)
	must(err, "blob.Subscribe")
	before := <-headers
	check((<-headers).Height == before.Height+1, "headers come one by one")
	blob := newBlob(namespace, []byte("news"))
	height, err := api.Blob.Submit(ctx, []*Blob{blob}, nil)
	must(err, "Submit")
	for response := range news {
		check(int64(response.Height) == response.Header.Height, "blobs come with their header")
		if response.Height == height {
			check(len(response.Blobs) == 1 && bytes.Equal(response.Blobs[0].Commitment, blob.Commitment), "the blob comes")
			break
		}
		check(response.Height < height && len(response.Blobs) == 0, "no blob is left out")
	}
	cancel()
	for range headers { // until the node has closed it
	}
}

func permissions(ctx context.Context, api *API, url string) {
	token, err := api.Node.AuthNew(ctx, []string{"public", "read"})
	must(err, "AuthNew")
	reader, done := dial(ctx, url, token)
	defer done()
	_, err = reader.Header.LocalHead(ctx)
	must(err, "LocalHead with a token to read")
	_, err = reader.Blob.Submit(ctx, []*Blob{newBlob(share.MustNewV0Namespace([]byte("x")), []byte("x"))}, nil)
	check(err != nil && strings.Contains(err.Error(), "missing permission to invoke 'Submit' (need 'write')"), "and no more")
	nobody, finish := dial(ctx, url, "")
	defer finish()
	_, err = nobody.Node.Ready(ctx)
	check(err != nil && strings.Contains(err.Error(), "missing permission"), "nobody may without a token")
}

func must(err error, what string) {
	if err != nil {
		fail(what + ": " + err.Error())
	}
}

func check(ok bool, what string) {
	if !ok {
		fail("does not hold: " + what)
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
