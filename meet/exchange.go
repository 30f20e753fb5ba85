package meet

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"slices"
	"time"

	"playnode/node"
)

// Protocol introduces followers of a name to each other. One stream is one
// question and one answer; integers are big-endian:
//
//	question  nonce:32  count:1  tag:32 * count  len:2 record
//	answer    status:1  len:2 record  count:1
//	          (index:1  tag:32  count:1  (len:2 record) * count) * count
//
// A question has a tag for each name that the asker follows, in any order, and
// random ones up to a multiple of 8, at most 64. Index is that of a tag whose
// name the answerer follows too; the tag behind it proves so. The first record
// of each side is its own, or empty; those behind are of others that have
// proved to know the name, 16 a name and 32 an answer at most. Status 0: the
// answer follows; 1: asked too much, nothing follows.
const Protocol = "/playnode/peers/1.0.0"

const (
	maxTags   = 64 // of a question
	padding   = 8  // tags are a multiple of it
	perName   = 16 // records of others
	perAnswer = 32

	statusAnswer = 0
	statusBusy   = 1

	// patience bounds one exchange, by the wall clock of sockets.
	patience = 10 * time.Second
	// burst questions may come from a peer at once, and one each refill
	// after; maxBudgets peers' are remembered.
	burst, refill, maxBudgets = 8, 10 * time.Second, 1024
)

var errBusy = errors.New("the peer was asked too much")

// tag proves that asker or answerer, whom the label says, knows a name, to
// who knows it, and tells others nothing. Both ids are in it, so that nobody
// passes it on as his own.
func tag(name, label string, nonce []byte, asker, answerer string) [32]byte {
	h := hmac.New(sha256.New, []byte(name))
	h.Write([]byte("playnode/v1/" + label + "\x00"))
	for _, x := range [][]byte{nonce, []byte(asker), []byte(answerer)} {
		h.Write(binary.AppendUvarint(nil, uint64(len(x))))
		h.Write(x)
	}
	return [32]byte(h.Sum(nil))
}

const labelAsk, labelAnswer = "peers-ask", "peers-answer"

func (m *Meeting) serve(peer string, s node.Stream) {
	s.SetDeadline(time.Now().Add(patience)) // sockets know only the wall clock
	answer, err := m.answer(peer, s)
	if err == nil {
		_, err = s.Write(answer)
	}
	if err != nil {
		m.cfg.Log.Debug("question who else follows", "peer", peer, "err", err)
		s.Reset()
		return
	}
	s.Close()
}

// answer reads a question of peer's and makes the answer.
func (m *Meeting) answer(peer string, r io.Reader) ([]byte, error) {
	var h [33]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	nonce, count := h[:32], int(h[32])
	if count == 0 || count > maxTags || count%padding != 0 {
		return nil, fmt.Errorf("question of %d tags", count)
	}
	tags := make([][32]byte, count)
	for i := range tags {
		if _, err := io.ReadFull(r, tags[i][:]); err != nil {
			return nil, err
		}
	}
	theirs, err := m.readOwn(r, peer)
	if err != nil {
		return nil, err
	}
	if !m.budgets.Spend(peer, 1) {
		return []byte{statusBusy}, nil
	}
	m.mu.Lock()
	index := map[[32]byte]int{}
	for i, t := range tags {
		index[t] = i
	}
	left := perAnswer
	var both []byte
	matches, newcomer := 0, false
	for name, c := range m.names {
		i, ok := index[tag(name, labelAsk, nonce, peer, m.cfg.Peers.ID())]
		if !ok {
			continue
		}
		newcomer = m.meet(c, peer, theirs) || newcomer
		proof := tag(name, labelAnswer, nonce, peer, m.cfg.Peers.ID())
		both = append(append(both, byte(i)), proof[:]...)
		others := m.introduce(c, peer, min(left, perName))
		left -= len(others)
		both = append(both, byte(len(others)))
		for _, o := range others {
			both = appendRecord(both, o)
		}
		matches++
	}
	m.mu.Unlock()
	if newcomer {
		m.Look() // who has just begun to follow may know others
	}
	out := []byte{statusAnswer}
	if matches > 0 {
		out = appendRecord(out, m.own(peer)) // a stranger need not have it
	} else {
		out = appendRecord(out, nil)
	}
	return append(append(out, byte(matches)), both...), nil
}

// own is our record for peer.
func (m *Meeting) own(peer string) []byte {
	if m.cfg.Quiet {
		return nil
	}
	return m.cfg.Records.Own(peer)
}

// introduce draws at most n records of those met, but for the asker's. m.mu is
// held.
func (m *Meeting) introduce(c *circle, asker string, n int) [][]byte {
	var all [][]byte
	for p, f := range c.met {
		if p != asker && f.record != nil {
			all = append(all, f.record)
		}
	}
	mrand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(len(all), n)]
}

// signed is a record that was verified.
type signed struct {
	node.Record
	raw []byte
}

// meet notes that peer has proved that it knows c's name, and tells whether
// that is new. Its own word about itself counts, whatever number it has: its
// clock may have been set back. m.mu is held.
func (m *Meeting) meet(c *circle, peer string, own *signed) bool {
	f, known := c.met[peer]
	if !known && len(c.met) >= maxMet {
		return false
	}
	f.at = m.cfg.Now()
	if own != nil {
		f.record, f.seq = own.raw, own.Seq
	}
	c.met[peer] = f
	delete(c.told, peer)
	if !known {
		c.changed = true
		m.cfg.Company.Prefer(peer, true)
		if m.cfg.Met != nil {
			go m.cfg.Met(peer)
		}
	}
	return !known
}

// put asks one peer about names and takes in what it answers.
func (m *Meeting) put(ctx context.Context, peer string, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := m.cfg.Streams.Open(ctx, peer, Protocol)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	nonce := make([]byte, 32)
	rand.Read(nonce)
	// Own names and random tags in one random order: their number is told to
	// a multiple of 8, and no more.
	tags := make([][32]byte, (len(names)+padding-1)/padding*padding)
	at := map[int]string{}
	for i, place := range mrand.Perm(len(tags)) {
		if i < len(names) {
			at[place] = names[i]
			tags[place] = tag(names[i], labelAsk, nonce, m.cfg.Peers.ID(), peer)
		} else {
			rand.Read(tags[place][:])
		}
	}
	q := append(slices.Clone(nonce), byte(len(tags)))
	for _, t := range tags {
		q = append(q, t[:]...)
	}
	if _, err = s.Write(appendRecord(q, m.own(peer))); err == nil {
		err = s.CloseWrite()
	}
	if err == nil {
		err = m.take(s, peer, nonce, at)
	}
	if err != nil {
		s.Reset()
		return err
	}
	return s.Close()
}

// take reads an answer, all of it before any of it counts.
func (m *Meeting) take(r io.Reader, peer string, nonce []byte, at map[int]string) error {
	var status [1]byte
	if _, err := io.ReadFull(r, status[:]); err != nil {
		return err
	}
	switch status[0] {
	case statusAnswer:
	case statusBusy:
		return errBusy
	default:
		return fmt.Errorf("unknown status %d", status[0])
	}
	theirs, err := m.readOwn(r, peer)
	if err != nil {
		return err
	}
	var count [1]byte
	if _, err := io.ReadFull(r, count[:]); err != nil {
		return err
	}
	told, total := map[string][]signed{}, 0
	for range count[0] {
		var h [1 + 32 + 1]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return err
		}
		name, asked := at[int(h[0])]
		want := tag(name, labelAnswer, nonce, m.cfg.Peers.ID(), peer)
		if _, twice := told[name]; !asked || twice || !hmac.Equal(h[1:33], want[:]) {
			return fmt.Errorf("answer to tag %d proves nothing", h[0])
		}
		n := int(h[33])
		if total += n; n > perName || total > perAnswer {
			return fmt.Errorf("answer of %d records", total)
		}
		told[name] = []signed{}
		for range n {
			rec, err := m.readRecord(r)
			if err != nil {
				return err
			}
			if rec == nil {
				return errors.New("an empty record")
			}
			told[name] = append(told[name], *rec)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, others := range told {
		if c := m.names[name]; c != nil {
			m.meet(c, peer, theirs)
			for _, o := range others {
				m.hear(c, o, peer)
			}
		}
	}
	return nil
}

// hear notes one that by told of. m.mu is held.
func (m *Meeting) hear(c *circle, o signed, by string) {
	if o.Peer == m.cfg.Peers.ID() || m.blame[by] >= maxBlame {
		return
	}
	if f, ok := c.met[o.Peer]; ok && m.peers[o.Peer] != nil || ok && f.seq >= o.Seq {
		return // we know better
	}
	if r := c.told[o.Peer]; r != nil {
		if o.Seq > r.seq && !r.busy {
			r.record, r.seq, r.near, r.by = o.raw, o.Seq, o.Near, by
		}
		return
	}
	mine := 0
	for _, r := range c.told {
		if r.by == by {
			mine++
		}
	}
	if mine >= maxToldBy || len(c.told) >= maxTold {
		return
	}
	c.told[o.Peer] = &rumour{record: o.raw, seq: o.Seq, near: o.Near, by: by}
}

func appendRecord(b, record []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(record))), record...)
}

// readRecord reads and verifies one; nil when it is empty.
func (m *Meeting) readRecord(r io.Reader) (*signed, error) {
	var h [2]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(h[:]))
	if size > node.MaxPeerRecord {
		return nil, fmt.Errorf("record of %d bytes", size)
	}
	if size == 0 {
		return nil, nil
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, err
	}
	return m.verified(raw)
}

// maxVerified bounds the records that are remembered as verified.
const maxVerified = 256

// verified is a record that was verified, now or before: who follow a name tell
// of one another, so most records come again and again.
func (m *Meeting) verified(raw []byte) (*signed, error) {
	m.checked.Lock()
	defer m.checked.Unlock()
	if s := m.records[string(raw)]; s != nil {
		return s, nil
	}
	rec, err := m.cfg.Records.Learn(raw)
	if err != nil {
		return nil, err
	}
	s := &signed{rec, raw}
	if len(m.records) >= maxVerified {
		clear(m.records)
	}
	m.records[string(raw)] = s
	return s, nil
}

// readOwn reads a record that must be peer's own, or empty.
func (m *Meeting) readOwn(r io.Reader, peer string) (*signed, error) {
	rec, err := m.readRecord(r)
	if err == nil && rec != nil && rec.Peer != peer {
		err = fmt.Errorf("%s gave the record of %s as its own", peer, rec.Peer)
	}
	return rec, err
}
