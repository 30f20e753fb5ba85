package ipns_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	boxo "github.com/ipfs/boxo/ipns"
	pb "github.com/ipfs/boxo/ipns/pb"
	"github.com/ipfs/boxo/path"
	"github.com/libp2p/go-libp2p/core/crypto"
	"google.golang.org/protobuf/proto"

	"playnode/ipns"
)

var update = flag.Bool("update", false, "write testdata anew")

// centuryEnd is the vectors' end of life, far enough for readers that know
// only the wall clock.
var centuryEnd = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// vectors are the six cases of IPIP-428: what is good is decided by the
// signature of V2 alone, and where V1's fields are there they must say the
// same. All are sequence 5 of key 1.
func vectors(t testing.TB) map[string]vector {
	t.Helper()
	ck, err := crypto.UnmarshalEd25519PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	made := func(change func(r *pb.IpnsRecord), opts ...boxo.Option) []byte {
		rec, err := boxo.NewRecord(ck, path.FromCid(value("x")), 5, centuryEnd, time.Minute, opts...)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := boxo.MarshalRecord(rec)
		if err != nil {
			t.Fatal(err)
		}
		var r pb.IpnsRecord
		if err := proto.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		change(&r)
		if raw, err = (proto.MarshalOptions{Deterministic: true}).Marshal(&r); err != nil {
			t.Fatal(err)
		}
		return raw
	}
	return map[string]vector{
		"v1":    {made(func(r *pb.IpnsRecord) { r.SignatureV2, r.Data = nil, nil }), false},
		"v1-v2": {made(func(*pb.IpnsRecord) {}), true},
		"v2":    {made(func(*pb.IpnsRecord) {}, boxo.WithV1Compatibility(false)), true},
		"v1-v2-other-value-in-v1": {made(func(r *pb.IpnsRecord) {
			r.Value = []byte(path.FromCid(value("yy")).String())
			sig, err := ck.Sign(append(append(bytes.Clone(r.Value), r.Validity...), '0'))
			if err != nil {
				t.Fatal(err)
			}
			r.SignatureV1 = sig
		}), false},
		"v1-v2-broken-signature-v1": {made(func(r *pb.IpnsRecord) { r.SignatureV1[7] ^= 1 }), true},
		"v1-v2-broken-signature-v2": {made(func(r *pb.IpnsRecord) { r.SignatureV2[7] ^= 1 }), false},
	}
}

type vector struct {
	raw  []byte
	good bool
}

// TestVectors reads the records in testdata, which `-update` writes.
func TestVectors(t *testing.T) {
	if len(vectors(t)) != 6 {
		t.Fatal("IPIP-428 has six cases")
	}
	for name, v := range vectors(t) {
		file := filepath.Join("testdata", "records", name+".ipns-record")
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, v.raw, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(raw, v.raw) {
			t.Errorf("%s is not what its making gives", name)
		}
		rec, err := ipns.Open(n, raw)
		if v.good && (err != nil || rec.Seq != 5 || rec.Value != value("x") || !rec.EOL.Equal(centuryEnd)) {
			t.Errorf("%s: %+v, %v", name, rec, err)
		}
		if !v.good && !errors.Is(err, ipns.ErrInvalid) {
			t.Errorf("%s: %v, want it refused", name, err)
		}
		theirs, err := boxo.UnmarshalRecord(raw)
		if err == nil {
			bn, _ := boxo.NameFromString(string(n))
			err = boxo.ValidateWithName(theirs, bn)
		}
		if v.good != (err == nil) {
			t.Errorf("%s: boxo says %v", name, err)
		}
	}
}
