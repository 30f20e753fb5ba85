package ipns

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
)

// ttl is how long a resolver may hold a record without asking again.
const ttl = time.Minute

// Record is a record whose form and signature hold. Whether its time has
// passed is for whoever has the clock.
type Record struct {
	Name  Name
	Value cid.Cid
	Seq   uint64
	EOL   time.Time
	// Raw is the signed protobuf, as it travels and is stored.
	Raw []byte
}

// Sign makes a record, with V1 and V2 signatures, that points key's name at
// /ipfs/value until eol.
func Sign(key ed25519.PrivateKey, value cid.Cid, seq uint64, eol time.Time) (Record, error) {
	k, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		return Record{}, fmt.Errorf("sign record: %w", err)
	}
	name, err := NameOf(key.Public().(ed25519.PublicKey))
	if err != nil {
		return Record{}, err
	}
	if seq > math.MaxInt64 {
		return Record{}, fmt.Errorf("sign record of %s: sequence %d is past the last", name, seq)
	}
	r, err := ipns.NewRecord(k, path.FromCid(value), seq, eol.UTC(), ttl)
	if err != nil {
		return Record{}, fmt.Errorf("sign record of %s: %w", name, err)
	}
	raw, err := ipns.MarshalRecord(r)
	if err != nil {
		return Record{}, fmt.Errorf("sign record of %s: %w", name, err)
	}
	return Open(name, raw)
}

// Open reads and verifies a record of name, all but its time. Every error
// wraps ErrInvalid.
func Open(name Name, raw []byte) (Record, error) {
	rec, err := open(name, raw)
	if err != nil {
		return Record{}, fmt.Errorf("open record of %s: %w: %w", name, ErrInvalid, err)
	}
	return rec, nil
}

func open(name Name, raw []byte) (Record, error) {
	if len(raw) > MaxRecord {
		return Record{}, ipns.ErrRecordSize
	}
	n, err := ipns.NameFromString(string(name))
	if err != nil {
		return Record{}, err
	}
	r, err := ipns.UnmarshalRecord(raw)
	if err != nil {
		return Record{}, err
	}
	// Validate looks at the wall clock only after size, key, both signatures
	// and the V1 fields have passed, so "expired" means all of those hold.
	// What it checks after the time is checked here.
	if err := ipns.ValidateWithName(r, n); err != nil && !errors.Is(err, ipns.ErrExpiredRecord) {
		return Record{}, err
	}
	if ttl, err := r.TTL(); err == nil && ttl < 0 {
		return Record{}, errors.New("negative TTL")
	}
	v, err := r.Value()
	if err != nil {
		return Record{}, err
	}
	p, err := path.NewImmutablePath(v)
	if err != nil || len(p.Segments()) != 2 {
		return Record{}, fmt.Errorf("value %.100q is not /ipfs/ and a CID", v)
	}
	seq, err := r.Sequence()
	if err != nil {
		return Record{}, err
	}
	if seq > math.MaxInt64 {
		return Record{}, errors.New("negative sequence")
	}
	eol, err := r.Validity()
	if err != nil {
		return Record{}, err
	}
	return Record{Name: name, Value: p.RootCid(), Seq: seq, EOL: eol, Raw: bytes.Clone(raw)}, nil
}

// Ended tells whether the record's end of life has passed at now: it is stale.
func (r Record) Ended(now time.Time) bool { return now.After(r.EOL) }

// Compare orders records of one name as every IPNS implementation does:
// by sequence, then end of life, then bytes. Positive means r is newer.
func (r Record) Compare(o Record) int {
	return cmp.Or(cmp.Compare(r.Seq, o.Seq), r.EOL.Compare(o.EOL), bytes.Compare(r.Raw, o.Raw))
}
