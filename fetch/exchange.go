package fetch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"playnode/node"
)

// BlocksProtocol has blocks go between peers that fill up from one another. A
// stream is one asker's, for as long as both like; the other side, the giver,
// may have one of its own back. Each side sends frames, and waits for none:
//
//	frame    type:1  length:3  body:length          integers are big-endian
//
//	asker    1 hello   count:1  (size:1 text:size)*count      once, first: addresses, "parts", "dialled"
//	         2 ask     base:4  (digest:32)*n         number blocks from base on: which are held?
//	         3 want    (number:4 class:1 digest:32)*n
//	         4 cancel  (number:4)*n                 of wants
//	         5 done    (digest:32)*n                 held here by now, wherever from
//	         7 got     (number:4)*n                 blocks that have come whole
//	         6 hurry   as want                       a want that is open has this class now
//	giver    17 held   base:4  count:2  bitmap:ceil(count/8)  answers an ask, bit i%8 of byte i/8
//	         18 gain   (number:4)*n                 asked about, not held then, held now
//	         19 block  number:4  bytes
//	         20 not    (number:4)*n                 not held
//	         21 later  number:4  wait:4  count:1  (size:1 peer:size  count:1 (size:1 addr:size)*)*count
//	         22 busy                                 nothing yet, and not dead
//	         23 part   number:4  at:4  size:4  bytes  of a block of that size, from there on
//
// A digest is a block's sha2-256, whatever its CID's codec. A class is
// node.Class, plus 128 when the asker can reach nobody it was referred to, and
// exchanges with nobody else. A later says in how many milliseconds the block
// would be given here, and which peers have been given it, with dialled among the
// addresses of one that has said so; a want ends with
// block, not or later, or with the asker's cancel, which a block may cross. A
// later of number 0, which no block has, names who else is here; with a wait it
// says that there is no room for the asker, and the stream ends. Who says parts
// in its hello may be given a block in those, in order, with other frames between
// them, of two blocks at once at the most; one that is cancelled may end before
// its last. Who says dialled, or cancels number 0, has been dialled by others. What is
// over a bound resets the stream.
const BlocksProtocol = "/playnode/blocks/1.0.0"

const (
	// maxAsk is how many blocks one ask may be about, maxOrders how many wants
	// may be open on one stream, maxNumbers how many numbers a frame has.
	maxAsk, maxOrders, maxNumbers = 4096, 64, 8192
	// maxAddrs and maxAddr bound a peer's addresses, maxReferred the peers of
	// one later, maxID the text of a peer id.
	maxAddrs, maxAddr, maxReferred, maxID = 8, 160, 4, 80
	// maxCrossing is how many cancelled blocks may still come.
	maxCrossing = 1024

	frameHello  = 1
	frameAsk    = 2
	frameWant   = 3
	frameCancel = 4
	frameDone   = 5
	frameHurry  = 6
	frameGot    = 7
	frameHeld   = 17
	frameGain   = 18
	frameBlock  = 19
	frameNot    = 20
	frameLater  = 21
	frameBusy   = 22
	framePart   = 23

	wantSize  = 4 + 1 + 32
	partHead  = 4 + 4 + 4
	aloneFlag = 128
	noBlock   = 0 // a number

	// inParts and dialled are words of a hello.
	inParts, dialled = "parts", "dialled"
)

// longest is each frame's longest body.
var longest = map[byte]int{
	frameHello: 1 + maxAddrs*(1+maxAddr), frameAsk: 4 + 32*maxAsk, frameWant: wantSize * maxOrders,
	frameCancel: 4 * maxNumbers, frameDone: 32 * maxAsk, frameHurry: wantSize * maxOrders, frameGot: 4 * maxNumbers,
	frameHeld: 4 + 2 + maxAsk/8, frameGain: 4 * maxNumbers, frameBlock: 4 + node.MaxBlock, frameNot: 4 * maxNumbers,
	frameLater: 4 + 4 + 1 + maxReferred*(1+maxID+1+maxAddrs*(1+maxAddr)), frameBusy: 0,
	framePart: partHead + node.MaxBlock,
}

var errFrame = errors.New("malformed frame")

// referral is a peer that is said to have a block, and how it is reached.
type referral struct {
	peer    string
	addrs   []string
	dialled bool   // by others, it has said
	by      string // who has told of it
}

// opens is 1 for one that has been dialled.
func (r referral) opens() int {
	if r.dialled {
		return 1
	}
	return 0
}

// openFirst puts those first that have been dialled.
func openFirst(a, b referral) int { return b.opens() - a.opens() }

// order is one want.
type order struct {
	number uint32
	class  node.Class
	alone  bool // the asker can reach nobody it was referred to
	digest Digest
}

// readHead reads a frame's type and length, and judges both.
func readHead(r io.Reader) (kind byte, n int, err error) {
	var h [4]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, 0, err
	}
	kind, n = h[0], int(h[1])<<16|int(h[2])<<8|int(h[3])
	if most, ok := longest[kind]; !ok || n > most {
		return 0, 0, fmt.Errorf("%w: type %d of %d bytes", errFrame, kind, n)
	}
	return kind, n, nil
}

// appendHead begins a frame whose length is known.
func appendHead(b []byte, kind byte, n int) []byte {
	return append(b, kind, byte(n>>16), byte(n>>8), byte(n))
}

func appendNumbers(b []byte, kind byte, numbers []uint32) []byte {
	for len(numbers) > 0 {
		n := min(len(numbers), maxNumbers)
		b = appendHead(b, kind, 4*n)
		for _, k := range numbers[:n] {
			b = binary.BigEndian.AppendUint32(b, k)
		}
		numbers = numbers[n:]
	}
	return b
}

func parseNumbers(body []byte) ([]uint32, error) {
	if len(body)%4 != 0 {
		return nil, errFrame
	}
	out := make([]uint32, len(body)/4)
	for i := range out {
		out[i] = binary.BigEndian.Uint32(body[4*i:])
	}
	return out, nil
}

func appendAsk(b []byte, base uint32, digests []Digest) []byte {
	b = appendHead(b, frameAsk, 4+32*len(digests))
	b = binary.BigEndian.AppendUint32(b, base)
	for _, d := range digests {
		b = append(b, d[:]...)
	}
	return b
}

func parseAsk(body []byte) (base uint32, digests []Digest, err error) {
	if len(body) < 4 {
		return 0, nil, errFrame
	}
	digests, err = parseDigests(body[4:])
	return binary.BigEndian.Uint32(body), digests, err
}

func appendDone(b []byte, digests []Digest) []byte {
	for len(digests) > 0 {
		n := min(len(digests), maxAsk)
		b = appendHead(b, frameDone, 32*n)
		for _, d := range digests[:n] {
			b = append(b, d[:]...)
		}
		digests = digests[n:]
	}
	return b
}

func parseDigests(body []byte) ([]Digest, error) {
	if len(body)%32 != 0 {
		return nil, errFrame
	}
	out := make([]Digest, len(body)/32)
	for i := range out {
		out[i] = Digest(body[32*i:])
	}
	return out, nil
}

// appendWants writes wants, or the same as hurries.
func appendWants(b []byte, kind byte, orders []order) []byte {
	for len(orders) > 0 {
		n := min(len(orders), maxOrders)
		b = appendHead(b, kind, wantSize*n)
		for _, o := range orders[:n] {
			b = binary.BigEndian.AppendUint32(b, o.number)
			class := byte(o.class)
			if o.alone {
				class |= aloneFlag
			}
			b = append(append(b, class), o.digest[:]...)
		}
		orders = orders[n:]
	}
	return b
}

func parseWants(body []byte) ([]order, error) {
	if len(body)%wantSize != 0 {
		return nil, errFrame
	}
	out := make([]order, len(body)/wantSize)
	for i := range out {
		f := body[wantSize*i:]
		class := node.Class(f[4] &^ aloneFlag)
		if class > node.Later {
			return nil, fmt.Errorf("%w: class %d", errFrame, class)
		}
		out[i] = order{binary.BigEndian.Uint32(f), class, f[4]&aloneFlag != 0, Digest(f[5:wantSize])}
	}
	return out, nil
}

func appendHeld(b []byte, base uint32, held []bool) []byte {
	b = appendHead(b, frameHeld, 6+(len(held)+7)/8)
	b = binary.BigEndian.AppendUint32(b, base)
	b = binary.BigEndian.AppendUint16(b, uint16(len(held)))
	bits := make([]byte, (len(held)+7)/8)
	for i, h := range held {
		if h {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return append(b, bits...)
}

func parseHeld(body []byte) (base uint32, held []bool, err error) {
	if len(body) < 6 {
		return 0, nil, errFrame
	}
	n := int(binary.BigEndian.Uint16(body[4:]))
	bits := body[6:]
	if n > maxAsk || len(bits) != (n+7)/8 || n%8 != 0 && bits[len(bits)-1]>>(n%8) != 0 {
		return 0, nil, errFrame
	}
	held = make([]bool, n)
	for i := range held {
		held[i] = bits[i/8]>>(i%8)&1 == 1
	}
	return binary.BigEndian.Uint32(body), held, nil
}

// appendTexts writes a count and so many short texts, as far as they fit.
func appendTexts(b []byte, texts []string, most, longest int) []byte {
	at := len(b)
	b = append(b, 0)
	for _, t := range texts {
		if int(b[at]) < most && 0 < len(t) && len(t) <= longest {
			b[at]++
			b = append(append(b, byte(len(t))), t...)
		}
	}
	return b
}

// text reads one short text.
func text(b []byte, longest int) (string, []byte, error) {
	if len(b) == 0 {
		return "", nil, errFrame
	}
	n := int(b[0])
	if n == 0 || n > longest || len(b) < 1+n {
		return "", nil, errFrame
	}
	return string(b[1 : 1+n]), b[1+n:], nil
}

func parseTexts(b []byte, most, longest int) (out []string, rest []byte, err error) {
	if len(b) == 0 || int(b[0]) > most {
		return nil, nil, errFrame
	}
	n := int(b[0])
	b = b[1:]
	for range n {
		var t string
		if t, b, err = text(b, longest); err != nil {
			return nil, nil, err
		}
		out = append(out, t)
	}
	return out, b, nil
}

// hello is what an asker says of itself.
type hello struct {
	addrs   []string
	parts   bool // it takes blocks in parts
	dialled bool // others have dialled it
}

func appendHello(b []byte, h hello) []byte {
	var texts []string
	if h.parts {
		texts = append(texts, inParts)
	}
	if h.dialled {
		texts = append(texts, dialled)
	}
	addrs := h.addrs
	if len(texts)+len(addrs) > maxAddrs { // those last that help nobody elsewhere
		addrs = slices.Clone(addrs)
		slices.SortStableFunc(addrs, func(a, b string) int { return loops(a) - loops(b) })
	}
	body := appendTexts(nil, append(texts, addrs...), maxAddrs, maxAddr)
	return append(appendHead(b, frameHello, len(body)), body...)
}

// loops is 1 for an address that leads nowhere but to this machine.
func loops(addr string) int {
	if strings.HasPrefix(addr, "/ip4/127.") || strings.HasPrefix(addr, "/ip6/::1/") {
		return 1
	}
	return 0
}

// parseHello reads what peer says of itself, without addresses that would not
// prove to be that peer.
func parseHello(body []byte, peer string) (hello, error) {
	all, rest, err := parseTexts(body, maxAddrs, maxAddr)
	if err != nil || len(rest) > 0 {
		return hello{}, errFrame
	}
	return hello{ofPeer(all, peer), slices.Contains(all, inParts), slices.Contains(all, dialled)}, nil
}

// partFrame is the beginning of a part of n bytes.
func partFrame(number uint32, at, size, n int) []byte {
	b := appendHead(make([]byte, 0, 4+partHead+smallBlock), framePart, partHead+n)
	b = binary.BigEndian.AppendUint32(b, number)
	b = binary.BigEndian.AppendUint32(b, uint32(at))
	return binary.BigEndian.AppendUint32(b, uint32(size))
}

// ofPeer are those of addrs that end in peer.
func ofPeer(addrs []string, peer string) []string {
	var out []string
	for _, a := range addrs {
		if strings.HasSuffix(a, "/p2p/"+peer) {
			out = append(out, a)
		}
	}
	return out
}

func appendLater(b []byte, number, wait uint32, refs []referral) []byte {
	refs = refs[:min(len(refs), maxReferred)]
	body := binary.BigEndian.AppendUint32(nil, number)
	body = binary.BigEndian.AppendUint32(body, wait)
	body = append(body, byte(len(refs)))
	for _, r := range refs {
		body = append(append(body, byte(len(r.peer))), r.peer...)
		texts := r.addrs
		if r.dialled {
			texts = append([]string{dialled}, texts...)
		}
		body = appendTexts(body, texts, maxAddrs, maxAddr)
	}
	return append(appendHead(b, frameLater, len(body)), body...)
}

func parseLater(body []byte) (number, wait uint32, refs []referral, err error) {
	if len(body) < 9 || body[8] > maxReferred {
		return 0, 0, nil, errFrame
	}
	number, wait = binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])
	n, b := int(body[8]), body[9:]
	for range n {
		var r referral
		if r.peer, b, err = text(b, maxID); err != nil {
			return 0, 0, nil, err
		}
		if r.addrs, b, err = parseTexts(b, maxAddrs, maxAddr); err != nil {
			return 0, 0, nil, err
		}
		r.addrs, r.dialled = ofPeer(r.addrs, r.peer), slices.Contains(r.addrs, dialled)
		refs = append(refs, r)
	}
	if len(b) > 0 {
		return 0, 0, nil, errFrame
	}
	return number, wait, refs, nil
}
