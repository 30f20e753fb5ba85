package ipns

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// fetchProtocol is how stock IPFS asks a peer for a record beside its topic:
// one question, one answer, each a protobuf behind its length as uvarint.
//
//	question  identifier (1): the routing key
//	answer    status (1): 0 here, 1 not found, 2 error; data (2): the record
const fetchProtocol = "/libp2p/fetch/0.0.1"

const (
	fetchFound    = 0
	fetchNotFound = 1
	// maxFetch bounds a message: a record, and what is around it.
	maxFetch = MaxRecord + 256

	fieldIdentifier = 1<<3 | 2 // field 1, bytes; the question
	fieldStatus     = 1 << 3   // field 1, varint; the answer
	fieldData       = 2<<3 | 2 // field 2, bytes; the answer
)

// fetch asks one peer for name's record; nil, nil when it has none.
func (x *exchange) fetch(ctx context.Context, peer string, name Name) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := x.peers.Open(ctx, peer, fetchProtocol)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	_, err = s.Write(delimited(field(fieldIdentifier, []byte(name.RoutingKey()))))
	if err == nil {
		err = s.CloseWrite()
	}
	var status uint64
	var record []byte
	if err == nil {
		status, record, err = readFetch(s, fieldData)
	}
	if err != nil {
		s.Reset()
		return nil, fmt.Errorf("fetch record of %s from %s: %w", name, peer, err)
	}
	s.Close()
	switch status {
	case fetchFound:
		return record, nil
	case fetchNotFound:
		return nil, nil
	}
	return nil, fmt.Errorf("fetch record of %s from %s: status %d", name, peer, status)
}

// serveFetch answers one question.
func (x *exchange) serveFetch(peer string, s Stream) {
	s.SetDeadline(time.Now().Add(patience)) // sockets know only the wall clock
	_, key, err := readFetch(s, fieldIdentifier)
	if err != nil {
		x.namer.cfg.Log.Debug("fetch by peer", "peer", peer, "err", err)
		s.Reset()
		return
	}
	answer := []byte{fieldStatus, fetchNotFound}
	if name, err := nameOfKey(string(key)); err == nil {
		if rec, err := x.namer.Newest(name); err == nil {
			answer = field(fieldData, rec.Raw)
		}
	}
	if _, err := s.Write(delimited(answer)); err != nil {
		s.Reset()
		return
	}
	s.Close()
}

func field(tag byte, b []byte) []byte {
	return append(binary.AppendUvarint([]byte{tag}, uint64(len(b))), b...)
}

func delimited(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }

// readFetch reads a message that has at most a status and the bytes field
// want. Other fields are refused: neither side has any.
func readFetch(r io.Reader, want byte) (status uint64, data []byte, err error) {
	br := bufio.NewReader(r)
	size, err := binary.ReadUvarint(br)
	if err != nil {
		return 0, nil, err
	}
	if size > maxFetch {
		return 0, nil, fmt.Errorf("message of %d bytes", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(br, b); err != nil {
		return 0, nil, err
	}
	for len(b) > 0 {
		tag := b[0]
		v, k := binary.Uvarint(b[1:])
		if k <= 0 {
			return 0, nil, fmt.Errorf("message is cut")
		}
		b = b[1+k:]
		switch {
		case tag == want && v <= uint64(len(b)):
			data, b = b[:v:v], b[v:]
		case tag == fieldStatus:
			status = v
		default:
			return 0, nil, fmt.Errorf("unknown field, or one that is cut: %#x", tag)
		}
	}
	return status, data, nil
}
