package manifests

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"golang.org/x/text/unicode/norm"
)

// record is anything with one canonical encoding. code names its fields once
// for both directions; check judges what the field types cannot say.
type record interface {
	code(*coder)
	check() error
}

// coder writes a record, or reads one. The same calls in the same order do
// either, so that no field can be written and not read. Reading accepts the
// dag-cbor subset that writing produces and nothing else: shortest heads,
// definite lengths, map keys in order (the caller names them in it), tag 42
// alone, no floats. Nesting is that of the Go types, so never deeper than
// they are; the first error sticks and ends all reading.
type coder struct {
	reading bool
	b       []byte // written so far, or still to read
	key0    []string
	err     error
}

const (
	majUint  = 0 << 5
	majBytes = 2 << 5
	majText  = 3 << 5
	majArray = 4 << 5
	majMap   = 5 << 5
	majTag   = 6 << 5

	cborFalse = 0xf4
	cborTrue  = 0xf5
	cborNull  = 0xf6
)

func (c *coder) fail(format string, a ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format+": %w", append(a, ErrInvalid)...)
	}
}

// head codes a major type with its argument; reading returns the argument.
func (c *coder) head(major byte, n uint64) uint64 {
	if !c.reading {
		c.b = appendHead(c.b, major, n)
		return n
	}
	if c.err != nil {
		return 0
	}
	if len(c.b) == 0 {
		c.fail("record ends early")
		return 0
	}
	if c.b[0]&0xe0 != major {
		c.fail("found a value of major type %d where %d belongs", c.b[0]>>5, major>>5)
		return 0
	}
	size := 0
	switch ai := c.b[0] & 0x1f; {
	case ai < 24:
		n = uint64(ai)
	case ai <= 27:
		size = 1 << (ai - 24)
		if len(c.b) < 1+size {
			c.fail("record ends early")
			return 0
		}
		n = 0
		for _, x := range c.b[1 : 1+size] {
			n = n<<8 | uint64(x)
		}
	default:
		c.fail("indefinite or reserved length")
		return 0
	}
	var shortest [9]byte
	if len(appendHead(shortest[:0], major, n)) != 1+size {
		c.fail("integer or length not in its shortest form")
		return 0
	}
	c.b = c.b[1+size:]
	return n
}

func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return append(b, major|25, byte(n>>8), byte(n))
	case n < 1<<32:
		return append(b, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, major|27, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32),
		byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// take codes the body of a string of n bytes.
func (c *coder) take(n uint64) []byte {
	if c.err != nil {
		return nil
	}
	if n > uint64(len(c.b)) {
		c.fail("record ends early")
		return nil
	}
	s := c.b[:n]
	c.b = c.b[n:]
	return s
}

// fields opens a map of exactly n fields, which f codes, each after key.
func (c *coder) fields(n int, f func()) {
	if got := c.head(majMap, uint64(n)); got != uint64(n) {
		c.fail("record has %d fields, not %d", got, n)
	}
	c.key0 = append(c.key0, "")
	f()
	c.key0 = c.key0[:len(c.key0)-1]
}

// fieldsOr opens a map of n fields, or of one more. Whether there is one more is
// more's to say in writing, and the record's in reading; f has to refuse what
// could be left out, so that there is one form of everything.
func (c *coder) fieldsOr(n int, more bool, f func(more bool)) {
	if !c.reading && more {
		n++
	}
	got := c.head(majMap, uint64(n))
	if c.reading {
		more = got == uint64(n)+1
	}
	if !more && got != uint64(n) {
		c.fail("record has %d fields, not %d", got, n)
	}
	c.key0 = append(c.key0, "")
	f(more)
	c.key0 = c.key0[:len(c.key0)-1]
}

// key codes the name of the next field. Keys come in dag-cbor's order,
// shorter first; a list of fields that breaks it is our own mistake.
func (c *coder) key(k string) {
	prev := &c.key0[len(c.key0)-1]
	if len(k) < len(*prev) || len(k) == len(*prev) && k <= *prev {
		panic("manifests: field " + k + " out of order")
	}
	*prev = k
	if !c.reading {
		c.b = append(appendHead(c.b, majText, uint64(len(k))), k...)
		return
	}
	if s := c.take(c.head(majText, 0)); c.err == nil && string(s) != k {
		c.fail("unknown or misplaced field %.40q, want %q", s, k)
	}
}

// tuple opens an array of exactly n elements.
func (c *coder) tuple(n int) {
	if got := c.head(majArray, uint64(n)); got != uint64(n) {
		c.fail("array has %d elements, not %d", got, n)
	}
}

// number codes an integer of 0..max.
func number[T ~int | ~int32 | ~int64 | ~uint64](c *coder, p *T, max uint64) {
	if !c.reading && (*p < 0 || uint64(*p) > max) {
		c.fail("integer %d is not within 0..%d", *p, max)
	}
	n := c.head(majUint, uint64(*p))
	if n > max {
		c.fail("integer %d is over %d", n, max)
		return
	}
	if c.reading && c.err == nil {
		*p = T(n)
	}
}

// fixed codes a byte string of exactly len(p) bytes, in place.
func (c *coder) fixed(p []byte) {
	if !c.reading {
		c.b = append(appendHead(c.b, majBytes, uint64(len(p))), p...)
		return
	}
	n := c.head(majBytes, 0)
	if c.err == nil && n != uint64(len(p)) {
		c.fail("byte string of %d bytes, not %d", n, len(p))
	}
	copy(p, c.take(n))
}

// bytes codes a byte string of min..max bytes.
func (c *coder) bytes(p *[]byte, min, max int) {
	if n := c.head(majBytes, uint64(len(*p))); n < uint64(min) || n > uint64(max) {
		c.fail("byte string of %d bytes, not %d to %d", n, min, max)
	} else if c.reading {
		*p = bytes.Clone(c.take(n))
	} else {
		c.b = append(c.b, *p...)
	}
}

// text codes a text string of min..max bytes: valid UTF-8 in NFC.
func (c *coder) text(p *string, min, max int) {
	n := c.head(majText, uint64(len(*p)))
	if n < uint64(min) || n > uint64(max) {
		c.fail("text of %d bytes, not %d to %d", n, min, max)
		return
	}
	if c.reading {
		*p = string(c.take(n))
	} else {
		c.b = append(c.b, *p...)
	}
	if !ascii(*p) && (!utf8.ValidString(*p) || !norm.NFC.IsNormalString(*p)) {
		c.fail("text is not UTF-8 in NFC")
	}
}

// ascii tells whether there are no other letters in a text: that is UTF-8 in
// NFC, and is seen without allocating.
func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// link codes a link to a CIDv1 with sha2-256, of one of the codecs.
func (c *coder) link(p *cid.Cid, codecs ...uint64) {
	if n := c.head(majTag, 42); n != 42 {
		c.fail("tag %d, not 42", n)
	}
	if !c.reading {
		if !PlainCID(*p, codecs...) {
			c.fail("link %s is not to a CIDv1 with sha2-256 of the right codec", *p)
			return
		}
		c.b = append(appendHead(c.b, majBytes, 37), 0)
		c.b = append(c.b, p.Bytes()...)
		return
	}
	var raw [37]byte
	c.fixed(raw[:])
	if c.err != nil {
		return
	}
	l, err := cid.Cast(raw[1:])
	if err != nil || raw[0] != 0 || !PlainCID(l, codecs...) {
		c.fail("link is not to a CIDv1 with sha2-256 of the right codec")
		return
	}
	*p = l
}

// present codes null where there is nothing, and tells whether a value
// follows. It may not stand before a field whose value could be null.
func (c *coder) present(have bool) bool {
	if !c.reading {
		if !have {
			c.b = append(c.b, cborNull)
		}
		return have
	}
	if c.err == nil && len(c.b) > 0 && c.b[0] == cborNull {
		c.b = c.b[1:]
		return false
	}
	return c.err == nil
}

// flag codes a truth.
func (c *coder) flag(p *bool) {
	if !c.reading {
		if *p {
			c.b = append(c.b, cborTrue)
		} else {
			c.b = append(c.b, cborFalse)
		}
		return
	}
	if s := c.take(1); c.err == nil {
		if s[0] != cborFalse && s[0] != cborTrue {
			c.fail("found 0x%02x where a truth belongs", s[0])
		}
		*p = s[0] == cborTrue
	}
}

// list codes an array of min..max elements. Nothing is allocated for more
// elements than there are bytes left.
func list[T any](c *coder, p *[]T, min, max int, f func(*T)) {
	n := c.head(majArray, uint64(len(*p)))
	if n < uint64(min) || n > uint64(max) || c.reading && n > uint64(len(c.b)) {
		c.fail("list of %d, not %d to %d", n, min, max)
	}
	if c.err != nil {
		return
	}
	if c.reading {
		*p = make([]T, n)
	}
	for i := range *p {
		if f(&(*p)[i]); c.err != nil {
			return
		}
	}
}

// digest codes a 32-byte digest or null.
func digest(c *coder, p **[32]byte) {
	if c.present(*p != nil) {
		if c.reading {
			*p = new([32]byte)
		}
		c.fixed((*p)[:])
	}
}

// encode is r in its only encoding, of at most max bytes.
func encode(r record, max int) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	var c coder
	r.code(&c)
	if len(c.b) > max {
		c.fail("record of %d bytes is over %d", len(c.b), max)
	}
	if c.err != nil {
		return nil, c.err
	}
	return c.b, nil
}

// decode fills r from all of data. What would not encode to the same bytes is
// refused.
func decode(data []byte, max int, r record) error {
	rest, err := decodePrefix(data, max, r)
	if err == nil && len(rest) != 0 {
		err = fmt.Errorf("%d bytes after the record: %w", len(rest), ErrInvalid)
	}
	return err
}

// decoded is a new T, filled from all of data.
func decoded[T any, P interface {
	*T
	record
}](data []byte, max int) (*T, error) {
	r := new(T)
	if err := decode(data, max, P(r)); err != nil {
		return nil, err
	}
	return r, nil
}

// decodePrefix is decode for a record that others follow.
func decodePrefix(data []byte, max int, r record) (rest []byte, err error) {
	if len(data) > max {
		return nil, fmt.Errorf("record of %d bytes is over %d: %w", len(data), max, ErrInvalid)
	}
	c := coder{reading: true, b: data}
	r.code(&c)
	if c.err != nil {
		return nil, c.err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	w := coder{b: make([]byte, 0, len(data)-len(c.b))} // an info has a cover: it is not to grow by doubling
	r.code(&w)
	if w.err != nil || !bytes.Equal(w.b, data[:len(data)-len(c.b)]) {
		return nil, fmt.Errorf("record is not canonical: %w", ErrInvalid)
	}
	return c.b, nil
}

func invalid(format string, a ...any) error {
	return fmt.Errorf(format+": %w", append(a, ErrInvalid)...)
}

// ascending tells whether keys grow strictly, so that each is there once.
func ascending[T any](s []T, key func(*T) []byte) bool {
	for i := 1; i < len(s); i++ {
		if bytes.Compare(key(&s[i-1]), key(&s[i])) >= 0 {
			return false
		}
	}
	return true
}
