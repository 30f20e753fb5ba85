package fetch

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"playnode/node"
)

// HaveProtocol tells which of many blocks a peer holds. One stream is one
// question and one answer; integers are big-endian:
//
//	question  op:1=1  count:2  (digest:32)*count     which of these are held?
//	          op:1=2  nonce:16  digest:32             prove that this one is
//	answer    status:1  bitmap:ceil(count/8)          to op 1, bit i%8 of byte i/8
//	          status:1  proof:32                      to op 2
//
// A digest is a block's sha2-256, count 1 to MaxHave. The proof is the sha2-256
// of the nonce and then the block. Status 0: the answer follows; 1: asked too
// much, nothing follows; 2: not held, nothing follows.
const HaveProtocol = "/playnode/have/1.0.0"

const (
	// MaxHave is how many blocks one question may be about.
	MaxHave = 8192

	opHave  = 1
	opProve = 2

	haveAnswer = 0
	haveBusy   = 1
	haveNot    = 2

	// havePatience bounds one exchange, by the wall clock of sockets.
	havePatience = 20 * time.Second
	// haveBurst blocks may be asked about at once by a peer, haveRate a
	// second after that; a proof, which reads a block, counts as proofCost.
	haveBurst, haveRate, proofCost = 16 * MaxHave, MaxHave, 64
	// haveAsking is how many questions are answered at once, havePeers how
	// many peers' budgets are remembered.
	haveAsking, havePeers = 4, 1024
)

// ErrBusy says that a peer has been asked too much.
var ErrBusy = errors.New("the peer was asked too much")

// Digest is a block's sha2-256.
type Digest = [32]byte

// HaveConfig is what a server of the question needs. All but Log are required.
type HaveConfig struct {
	Streams node.Streams
	Blocks  node.Blocks
	Now     func() time.Time
	Log     *slog.Logger
}

// ServeHave answers peers' questions from what is held, until the node closes.
// It tells anyone: what is public may be asked about, as by bitswap.
func ServeHave(cfg HaveConfig) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &haveServer{
		cfg: cfg, slots: make(chan struct{}, haveAsking),
		budgets: node.Budgets{Burst: haveBurst, Rate: haveRate, Peers: havePeers, Now: cfg.Now},
	}
	cfg.Streams.Handle(HaveProtocol, s.serve)
}

type haveServer struct {
	cfg     HaveConfig
	slots   chan struct{}
	budgets node.Budgets // in blocks
}

func (s *haveServer) serve(peer string, st node.Stream) {
	st.SetDeadline(time.Now().Add(havePatience)) // sockets know only the wall clock
	ctx, cancel := context.WithTimeout(context.Background(), havePatience)
	defer cancel()
	answer, err := s.answer(ctx, peer, st)
	if err == nil {
		_, err = st.Write(answer)
	}
	if err != nil {
		s.cfg.Log.Debug("question about blocks", "peer", peer, "err", err)
		st.Reset()
		return
	}
	st.Close()
}

func (s *haveServer) answer(ctx context.Context, peer string, r io.Reader) ([]byte, error) {
	var op [1]byte
	if _, err := io.ReadFull(r, op[:]); err != nil {
		return nil, err
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch op[0] {
	case opHave:
		var h [2]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return nil, err
		}
		n := int(binary.BigEndian.Uint16(h[:]))
		if n == 0 || n > MaxHave {
			return nil, fmt.Errorf("question about %d blocks", n)
		}
		if !s.budgets.Spend(peer, float64(n)) {
			return []byte{haveBusy}, nil
		}
		return s.have(ctx, r, n)
	case opProve:
		var q [16 + 32]byte
		if _, err := io.ReadFull(r, q[:]); err != nil {
			return nil, err
		}
		if !s.budgets.Spend(peer, proofCost) {
			return []byte{haveBusy}, nil
		}
		data, err := s.cfg.Blocks.Read(ctx, cidOf(Digest(q[16:])))
		if err != nil {
			return []byte{haveNot}, nil
		}
		p := proof(q[:16], data)
		return append([]byte{haveAnswer}, p[:]...), nil
	}
	return nil, fmt.Errorf("unknown op %d", op[0])
}

func (s *haveServer) have(ctx context.Context, r io.Reader, n int) ([]byte, error) {
	answer := make([]byte, 1+(n+7)/8)
	var d Digest
	for i := range n {
		if _, err := io.ReadFull(r, d[:]); err != nil {
			return nil, err
		}
		has, err := s.cfg.Blocks.Has(ctx, cidOf(d))
		if err != nil {
			return nil, err
		}
		if has {
			answer[1+i/8] |= 1 << (i % 8)
		}
	}
	return answer, nil
}

func proof(nonce, data []byte) (p Digest) {
	h := sha256.New()
	h.Write(nonce)
	h.Write(data)
	return Digest(h.Sum(nil))
}

// cidOf names a block by its digest alone; stores go by that.
func cidOf(d Digest) cid.Cid {
	mh, err := multihash.Encode(d[:], multihash.SHA2_256)
	if err != nil {
		panic(err) // a digest of that length always encodes
	}
	return cid.NewCidV1(cid.Raw, mh)
}

// askHave asks one peer which of at most MaxHave blocks it holds.
func askHave(ctx context.Context, streams node.Streams, peer string, about []Digest) ([]bool, error) {
	q := binary.BigEndian.AppendUint16([]byte{opHave}, uint16(len(about)))
	for _, d := range about {
		q = append(q, d[:]...)
	}
	bits := make([]byte, (len(about)+7)/8)
	if err := talkHave(ctx, streams, peer, q, bits); err != nil {
		return nil, fmt.Errorf("ask %s for blocks: %w", peer, err)
	}
	has := make([]bool, len(about))
	for i := range has {
		has[i] = bits[i/8]>>(i%8)&1 == 1
	}
	return has, nil
}

// askProof has one peer prove that it holds the block of data; ErrNotFound
// when it cannot.
func askProof(ctx context.Context, streams node.Streams, peer string, d Digest, data []byte) error {
	var nonce [16]byte
	rand.Read(nonce[:])
	var p Digest
	err := talkHave(ctx, streams, peer, append(append([]byte{opProve}, nonce[:]...), d[:]...), p[:])
	if err == nil && p != proof(nonce[:], data) {
		err = node.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("have %s prove a block: %w", peer, err)
	}
	return nil
}

// talkHave is one question to one peer, whose answer fills answer.
func talkHave(ctx context.Context, streams node.Streams, peer string, q, answer []byte) error {
	ctx, cancel := context.WithTimeout(ctx, havePatience)
	defer cancel()
	st, err := streams.Open(ctx, peer, HaveProtocol)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	if _, err = st.Write(q); err == nil {
		err = st.CloseWrite()
	}
	var status [1]byte
	if err == nil {
		_, err = io.ReadFull(st, status[:])
	}
	if err == nil {
		switch status[0] {
		case haveAnswer:
			_, err = io.ReadFull(st, answer)
		case haveBusy:
			err = ErrBusy
		case haveNot:
			err = node.ErrNotFound
		default:
			err = fmt.Errorf("unknown status %d", status[0])
		}
	}
	if err != nil {
		st.Reset()
		return err
	}
	return st.Close()
}
