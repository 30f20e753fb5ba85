package ipns

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

// Protocol is the direct exchange of records between peers. One stream is one
// question and one answer:
//
//	question  op:1  len(name):2  name  len(record):4  record
//	answer    status:1                 len(record):4  record
//
// Integers are big-endian; a name is k51 text of at most 128 bytes, a record
// at most MaxRecord. op 1 asks for the newest record known (record empty);
// op 2 pushes one. Status 0: none known here; 1: here is one (to a push: it
// is newer than yours); 2: none known here, and wanted; 3: your push is the
// newest known here; 4: your push is not wanted; 5: your push is refused.
const Protocol = "/playnode/ipns/1.0.0"

const (
	opGet  = 1
	opPush = 2

	statusNone     = 0
	statusRecord   = 1
	statusWanted   = 2
	statusTaken    = 3
	statusUnwanted = 4
	statusRefused  = 5

	maxName = 128
	// patience bounds one exchange with one peer.
	patience = 10 * time.Second
	// abreast is how many peers are asked at once.
	abreast = 32
)

// Stream is node.Stream, declared here so that ipns needs no node.
type Stream = interface {
	io.ReadWriteCloser
	CloseWrite() error
	Reset() error
	SetDeadline(t time.Time) error
}

// Peers is what the direct exchange needs of a node; see node.Streams and
// node.Peers for the promises.
type Peers interface {
	Handle(protocol string, h func(peer string, s Stream))
	Open(ctx context.Context, peer, protocol string) (Stream, error)
	Connected() []string
	OnConnect(f func(peer string))
}

// exchange is the Router over connected peers.
type exchange struct {
	namer *Namer
	peers Peers
}

// Put pushes to every connected peer that is not known to hold it; only those
// that want the name take it.
func (x *exchange) Put(ctx context.Context, name Name, raw []byte, held func(who string)) error {
	x.each(ctx, func(peer string) {
		if !x.namer.knows(name, raw, peer) && x.push(ctx, peer, name, raw) {
			held(peer)
		}
	})
	return nil
}

// Get asks every connected peer, and tells those who answer with an older
// record, or want one and have none, what is known here.
func (x *exchange) Get(ctx context.Context, name Name, found func(raw []byte)) error {
	var mu sync.Mutex
	x.each(ctx, func(peer string) {
		x.ask(ctx, peer, name, func(raw []byte) {
			mu.Lock()
			defer mu.Unlock()
			found(raw)
		})
	})
	return nil
}

// ask asks one peer and repairs what it lacks. One that does not speak the
// protocol may speak stock IPFS's.
func (x *exchange) ask(ctx context.Context, peer string, name Name, found func(raw []byte)) {
	status, raw, err := x.talk(ctx, peer, opGet, name, nil)
	if err != nil {
		x.namer.cfg.Log.Debug("ask peer for record", "peer", peer, "name", name, "err", err)
		if raw, err := x.fetch(ctx, peer, name); err == nil && len(raw) > 0 {
			found(raw)
		}
		return
	}
	if status == statusRecord {
		found(raw)
		x.namer.holds(name, raw, peer)
	}
	newest, err := x.namer.Newest(name)
	if err != nil {
		return
	}
	if status == statusRecord {
		theirs, err := Open(name, raw)
		if err != nil || newest.Compare(theirs) <= 0 {
			return
		}
	}
	if status == statusRecord || status == statusWanted {
		x.push(ctx, peer, name, newest.Raw)
	}
}

// push tells one peer and reports whether it holds the record now.
func (x *exchange) push(ctx context.Context, peer string, name Name, raw []byte) bool {
	status, newer, err := x.talk(ctx, peer, opPush, name, raw)
	if err != nil {
		x.namer.cfg.Log.Debug("push record", "peer", peer, "name", name, "err", err)
		return false
	}
	if status == statusRecord {
		if _, _, err := x.namer.Accept(name, newer); err != nil {
			x.namer.cfg.Log.Debug("answer to push", "peer", peer, "name", name, "err", err)
		}
		x.namer.holds(name, newer, peer)
	}
	if status == statusTaken {
		x.namer.holds(name, raw, peer)
	} else {
		x.namer.tell(name, raw, peer)
	}
	return status == statusTaken
}

// each calls f for all connected peers, a bounded number at once, and returns
// when all have returned.
func (x *exchange) each(ctx context.Context, f func(peer string)) {
	slots := make(chan struct{}, abreast)
	var wg sync.WaitGroup
	for _, p := range x.peers.Connected() {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			wg.Wait()
			return
		}
		wg.Go(func() {
			defer func() { <-slots }()
			f(p)
		})
	}
	wg.Wait()
}

// talk is one question to one peer.
func (x *exchange) talk(ctx context.Context, peer string, op byte, name Name, record []byte) (status byte, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := x.peers.Open(ctx, peer, Protocol)
	if err != nil {
		return 0, nil, err
	}
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	q := append([]byte{op}, binary.BigEndian.AppendUint16(nil, uint16(len(name)))...)
	q = append(q, name...)
	q = binary.BigEndian.AppendUint32(q, uint32(len(record)))
	if _, err = s.Write(append(q, record...)); err == nil {
		err = s.CloseWrite()
	}
	if err == nil {
		status, answer, err = readAnswer(s)
	}
	if err != nil {
		s.Reset()
		return 0, nil, err
	}
	return status, answer, s.Close()
}

// serve answers one question.
func (x *exchange) serve(peer string, s Stream) {
	s.SetDeadline(time.Now().Add(patience)) // sockets know only the wall clock
	op, name, record, err := readQuestion(s)
	if err != nil {
		x.namer.cfg.Log.Debug("question from peer", "peer", peer, "err", err)
		s.Reset()
		return
	}
	status, answer := x.answer(peer, op, name, record)
	a := binary.BigEndian.AppendUint32([]byte{status}, uint32(len(answer)))
	if _, err := s.Write(append(a, answer...)); err != nil {
		s.Reset()
		return
	}
	s.Close()
}

func (x *exchange) answer(peer string, op byte, name Name, record []byte) (byte, []byte) {
	n := x.namer
	if op == opGet {
		switch rec, err := n.Newest(name); {
		case err == nil:
			return statusRecord, rec.Raw
		case n.Wants(name):
			return statusWanted, nil
		}
		return statusNone, nil
	}
	if !n.Wants(name) {
		return statusUnwanted, nil
	}
	newest, _, err := n.Accept(name, record)
	if err != nil {
		n.cfg.Log.Debug("pushed record", "peer", peer, "name", name, "err", err)
		if rec, e := n.Newest(name); e == nil {
			return statusRecord, rec.Raw
		}
		return statusRefused, nil
	}
	if string(newest.Raw) != string(record) {
		return statusRecord, newest.Raw
	}
	n.holds(name, record, peer)
	return statusTaken, nil
}

func readQuestion(r io.Reader) (op byte, name Name, record []byte, err error) {
	var h [3]byte
	if _, err = io.ReadFull(r, h[:]); err != nil {
		return 0, "", nil, err
	}
	op = h[0]
	if op != opGet && op != opPush {
		return 0, "", nil, fmt.Errorf("unknown op %d", op)
	}
	size := binary.BigEndian.Uint16(h[1:])
	if size == 0 || size > maxName {
		return 0, "", nil, fmt.Errorf("name of %d bytes", size)
	}
	text := make([]byte, size)
	if _, err = io.ReadFull(r, text); err != nil {
		return 0, "", nil, err
	}
	name, err = ParseName(string(text))
	if err != nil {
		return 0, "", nil, err
	}
	record, err = readRecord(r)
	return op, name, record, err
}

func readAnswer(r io.Reader) (status byte, record []byte, err error) {
	var h [1]byte
	if _, err = io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	if h[0] > statusRefused {
		return 0, nil, fmt.Errorf("unknown status %d", h[0])
	}
	record, err = readRecord(r)
	return h[0], record, err
}

func readRecord(r io.Reader) ([]byte, error) {
	var h [4]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(h[:])
	if size > MaxRecord {
		return nil, fmt.Errorf("record of %d bytes", size)
	}
	b := make([]byte, size)
	_, err := io.ReadFull(r, b)
	return b, err
}
