package live

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"playnode/manifests"
)

// Protocol carries a live set between two neighbours. A stream is one asker's,
// for one set, for as long as both like. Each side sends frames, and waits for
// none:
//
//	frame    type:1  length:3  body:length          integers are big-endian
//
//	asker    1 hello    dj:32 live:16 mode:1 flags:1 slots:2 free:2 below:2 next:8
//	                    count:1 (size:1 addr:size)*count      once, first
//	         2 mode     mode:1 flags:1 next:8
//	         3 pull     (seq:8)*n                      give these segments
//	         4 spare    slots:2 free:2 below:2
//	giver    17 state   mode:1 flags:1 free:2 edge:8 first:8  count:1 (mark:8)*count
//	                    count:1 (size:1 addr:size)*count
//	         18 refer   count:1 (size:1 peer:size depth:1 free:2  count:1 (size:1 addr:size)*)*count
//	         19 record  size:2 envelope:size payload
//	         20 head    size:2 envelope:size payload
//	         21 segment seq:8 bytes
//	         22 not     (seq:8)*n                      pulled, and not held
//
// A mode is 0 (nothing), 1 (records and heads) or 2 (segments as well): in a
// hello and a mode the one that is asked for, in a state the one that is given
// from now on. SPEC.md has the rest.
const Protocol = "/playnode/live/1.0.0"

// mode is what a stream carries.
type mode byte

const (
	nothing mode = iota
	heads
	full
)

const (
	frameHello   = 1
	frameMode    = 2
	framePull    = 3
	frameSpare   = 4
	frameState   = 17
	frameRefer   = 18
	frameRecord  = 19
	frameHead    = 20
	frameSegment = 21
	frameNot     = 22

	// The asker's flags.
	flagDialable = 1 // others can dial it
	flagOrphan   = 2 // it has lost its parent and lacks segments now
	// The giver's flags.
	flagRooted = 1 // its path begins at the DJ
	flagLeave  = 2 // it would rather that the asker went elsewhere
	flagAbsent = 4 // it does not carry that set

	maxAddrs, maxAddr, maxID, maxReferred = 4, 160, 80, 4
	// maxPath bounds the boxes between the DJ and one that hears.
	maxPath = 16
	// maxPull bounds the segments of one pull, and those open on one stream.
	maxPull = 16
	// maxSigned bounds an envelope with one signature and the payload of a
	// live record.
	maxSigned = 8 << 10

	helloSize = 32 + 16 + 1 + 1 + 2 + 2 + 2 + 8
	modeSize  = 1 + 1 + 8
	spareSize = 6
	stateSize = 1 + 1 + 2 + 8 + 8
)

// longest is each frame's longest body.
var longest = map[byte]int{
	frameHello: helloSize + 1 + maxAddrs*(1+maxAddr), frameMode: modeSize, framePull: 8 * maxPull, frameSpare: spareSize,
	frameState:  stateSize + 1 + 8*maxPath + 1 + maxAddrs*(1+maxAddr),
	frameRefer:  1 + maxReferred*(1+maxID+1+2+1+maxAddrs*(1+maxAddr)),
	frameRecord: maxSigned, frameHead: 2 + maxHeadEnv + manifests.MaxLiveHead, frameSegment: 8 + manifests.MaxBlock, frameNot: 8 * maxPull,
}

// maxHeadEnv bounds a live head's envelope, which has one signature.
const maxHeadEnv = 512

var errFrame = errors.New("malformed frame")

// mark is a peer in a path.
type mark [8]byte

func markOf(peer string) mark {
	sum := sha256.Sum256([]byte(peer))
	return mark(sum[:])
}

// hello is how an asker begins.
type hello struct {
	set   Set
	mode  mode
	flags byte
	spare spare
	next  uint64 // the first segment that it lacks; 0 where it has none
	addrs []string
}

// spare is what a box could still give: slots in all, those free, and those
// free at the boxes below it.
type spare struct{ slots, free, below uint16 }

// state is what a giver says of itself and of what it gives.
type state struct {
	mode        mode
	flags       byte
	free        uint16
	edge, first uint64 // its next segment, and the first that it gives from now on
	path        []mark // from the DJ to itself
	addrs       []string
}

// referral is a peer that may be asked, and how it is reached.
type referral struct {
	peer  string
	depth int
	free  uint16
	addrs []string
}

// readFrame reads a frame of a giver's or of an asker's. Type and length are
// judged before memory is taken.
func readFrame(r io.Reader, giver bool) (kind byte, body []byte, err error) {
	var h [4]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	n := int(h[1])<<16 | int(h[2])<<8 | int(h[3])
	if most, ok := longest[h[0]]; !ok || n > most || giver != (h[0] >= frameState) {
		return 0, nil, fmt.Errorf("%w: type %d of %d bytes", errFrame, h[0], n)
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return h[0], body, err
}

// frame puts a head before a body.
func frame(kind byte, body ...[]byte) []byte {
	n := 0
	for _, b := range body {
		n += len(b)
	}
	out := append(make([]byte, 0, 4+n), kind, byte(n>>16), byte(n>>8), byte(n))
	for _, b := range body {
		out = append(out, b...)
	}
	return out
}

func (s spare) append(b []byte) []byte {
	for _, v := range []uint16{s.slots, s.free, s.below} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

func parseSpare(b []byte) spare {
	return spare{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint16(b[4:])}
}

func (h hello) frame() []byte {
	b := append(append([]byte(nil), h.set.DJ[:]...), h.set.Live[:]...)
	b = append(b, byte(h.mode), h.flags)
	b = binary.BigEndian.AppendUint64(h.spare.append(b), h.next)
	return frame(frameHello, appendTexts(b, h.addrs))
}

// parseHello reads a hello of peer's; addresses that would not prove to be
// that peer are left out.
func parseHello(body []byte, peer string) (h hello, err error) {
	if len(body) < helloSize {
		return h, errFrame
	}
	copy(h.set.DJ[:], body)
	copy(h.set.Live[:], body[32:])
	h.mode, h.flags, h.spare = mode(body[48]), body[49], parseSpare(body[50:])
	h.next = binary.BigEndian.Uint64(body[56:])
	addrs, rest, err := parseTexts(body[helloSize:])
	if err != nil || len(rest) > 0 || h.mode > full || h.flags > 3 || h.next > manifests.MaxInt {
		return h, errFrame
	}
	h.addrs = ofPeer(addrs, peer)
	return h, nil
}

func modeFrame(m mode, flags byte, next uint64) []byte {
	return frame(frameMode, binary.BigEndian.AppendUint64([]byte{byte(m), flags}, next))
}

func parseMode(body []byte) (m mode, flags byte, next uint64, err error) {
	if len(body) != modeSize || mode(body[0]) > full || body[1] > 3 {
		return 0, 0, 0, errFrame
	}
	return mode(body[0]), body[1], binary.BigEndian.Uint64(body[2:]), nil
}

func seqsFrame(kind byte, seqs ...uint64) []byte {
	var b []byte
	for _, s := range seqs {
		b = binary.BigEndian.AppendUint64(b, s)
	}
	return frame(kind, b)
}

func parseSeqs(body []byte) ([]uint64, error) {
	if len(body)%8 != 0 || len(body) == 0 {
		return nil, errFrame
	}
	out := make([]uint64, len(body)/8)
	for i := range out {
		out[i] = binary.BigEndian.Uint64(body[8*i:])
	}
	return out, nil
}

func (s state) frame() []byte {
	b := binary.BigEndian.AppendUint16([]byte{byte(s.mode), s.flags}, s.free)
	b = binary.BigEndian.AppendUint64(b, s.edge)
	b = binary.BigEndian.AppendUint64(b, s.first)
	b = append(b, byte(len(s.path)))
	for _, m := range s.path {
		b = append(b, m[:]...)
	}
	return frame(frameState, appendTexts(b, s.addrs))
}

func parseState(body []byte, peer string) (s state, err error) {
	if len(body) < stateSize+1 {
		return s, errFrame
	}
	s.mode, s.flags, s.free = mode(body[0]), body[1], binary.BigEndian.Uint16(body[2:])
	s.edge, s.first = binary.BigEndian.Uint64(body[4:]), binary.BigEndian.Uint64(body[12:])
	n, b := int(body[stateSize]), body[stateSize+1:]
	if s.mode > full || s.flags > 7 || n > maxPath || len(b) < 8*n || s.edge > manifests.MaxInt || s.first > manifests.MaxInt {
		return s, errFrame
	}
	for range n {
		s.path = append(s.path, mark(b))
		b = b[8:]
	}
	addrs, rest, err := parseTexts(b)
	if err != nil || len(rest) > 0 {
		return s, errFrame
	}
	s.addrs = ofPeer(addrs, peer)
	return s, nil
}

func referFrame(refs []referral) []byte {
	refs = refs[:min(len(refs), maxReferred)]
	b := []byte{byte(len(refs))}
	for _, r := range refs {
		b = append(append(b, byte(len(r.peer))), r.peer...)
		b = binary.BigEndian.AppendUint16(append(b, byte(r.depth)), r.free)
		b = appendTexts(b, r.addrs)
	}
	return frame(frameRefer, b)
}

func parseRefer(body []byte) (refs []referral, err error) {
	if len(body) < 1 || body[0] > maxReferred {
		return nil, errFrame
	}
	n, b := int(body[0]), body[1:]
	for range n {
		var r referral
		if r.peer, b, err = text(b, maxID); err != nil || len(b) < 3 {
			return nil, errFrame
		}
		r.depth, r.free = int(b[0]), binary.BigEndian.Uint16(b[1:])
		if r.addrs, b, err = parseTexts(b[3:]); err != nil {
			return nil, err
		}
		r.addrs = ofPeer(r.addrs, r.peer)
		refs = append(refs, r)
	}
	if len(b) > 0 {
		return nil, errFrame
	}
	return refs, nil
}

// signedFrame is a record or a head as it travels.
func signedFrame(kind byte, s manifests.Signed) []byte {
	return frame(kind, binary.BigEndian.AppendUint16(nil, uint16(len(s.Env.Data))), s.Env.Data, s.Payload.Data)
}

func parseSigned(body []byte) (env, payload []byte, err error) {
	if len(body) < 2 {
		return nil, nil, errFrame
	}
	n := int(binary.BigEndian.Uint16(body))
	if len(body) < 2+n {
		return nil, nil, errFrame
	}
	return body[2 : 2+n], body[2+n:], nil
}

// signedOf is a record or a head as it came, not judged.
func signedOf(body []byte) (manifests.Signed, error) {
	env, payload, err := parseSigned(body)
	if err != nil {
		return manifests.Signed{}, err
	}
	return manifests.Signed{Env: manifests.NewBlock(env), Payload: manifests.NewBlock(payload)}, nil
}

// appendTexts writes a count and so many addresses, as far as they fit.
func appendTexts(b []byte, texts []string) []byte {
	at := len(b)
	b = append(b, 0)
	for _, t := range texts {
		if b[at] < maxAddrs && 0 < len(t) && len(t) <= maxAddr {
			b[at]++
			b = append(append(b, byte(len(t))), t...)
		}
	}
	return b
}

func text(b []byte, longest int) (string, []byte, error) {
	if len(b) == 0 || b[0] == 0 || int(b[0]) > longest || len(b) < 1+int(b[0]) {
		return "", nil, errFrame
	}
	return string(b[1 : 1+b[0]]), b[1+b[0]:], nil
}

func parseTexts(b []byte) (out []string, rest []byte, err error) {
	if len(b) == 0 || b[0] > maxAddrs {
		return nil, nil, errFrame
	}
	n := b[0]
	b = b[1:]
	for range n {
		var t string
		if t, b, err = text(b, maxAddr); err != nil {
			return nil, nil, err
		}
		out = append(out, t)
	}
	return out, b, nil
}

// ofPeer are those of addrs that end in peer: who answers there has to prove
// that it is that peer.
func ofPeer(addrs []string, peer string) []string {
	var out []string
	for _, a := range addrs {
		if strings.HasSuffix(a, "/p2p/"+peer) {
			out = append(out, a)
		}
	}
	return out
}
