package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"
)

func TestContextsAreUnambiguous(t *testing.T) {
	want := "playnode/v1/track\x00\x02ab\x01c"
	if got := CTX(Track, []byte("ab"), []byte("c")); string(got) != want {
		t.Errorf("CTX = %q, want %q", got, want)
	}
	seen := map[string]string{}
	for _, x := range [][][]byte{{}, {{}}, {{}, {}}, {[]byte("a")}, {[]byte("a"), {}}, {{}, []byte("a")}, {[]byte("ab")}, {[]byte("a"), []byte("b")}, {{1, 'a'}}} {
		for _, l := range []Label{Track, Lock, LiveLock} {
			k := string(CTX(l, x...))
			if other, dup := seen[k]; dup {
				t.Errorf("%s%q and %s have one context", l, x, other)
			}
			seen[k] = fmt.Sprintf("%s%q", l, x)
		}
	}
	if long := CTX(Track, make([]byte, 300)); len(long) != len("playnode/v1/track\x00")+2+300 {
		t.Errorf("a part of 300 bytes takes %d", len(long))
	}
}

func TestDerive(t *testing.T) {
	// python3: hkdf-extract and expand by hmac, of 32 bytes of 1
	const want = "b84cc711a9b010a053bbcc625e88e57d0b451272def4b73c1023e8c993782805"
	k := Key(bytes.Repeat([]byte{1}, 32))
	a, b := k.Derive(Lock, []byte("hi")), k.Derive(LiveLock, []byte("hi"))
	if hex.EncodeToString(a[:]) != want {
		t.Errorf("derived %x", a[:])
	}
	if a.Equal(b) || a.Equal(k) || (FileKey{1}).Derive(Info).Equal(FileKey{2}.Derive(Info)) {
		t.Error("labels or secrets do not separate keys")
	}
}

func TestSealedBytesOpenUnderTheirContextOnly(t *testing.T) {
	k, aad := NewKey(), []byte("aad")
	for _, n := range []int{0, 1, 1019, 1020, 1021, 5000} {
		p := bytes.Repeat([]byte{7}, n)
		s := Seal(k, p, aad)
		if len(s) != SealedSize(n) {
			t.Errorf("%d bytes seal to %d, said %d", n, len(s), SealedSize(n))
		}
		if got, err := Open(k, s, aad); err != nil || !bytes.Equal(got, p) {
			t.Fatal(n, err)
		}
		if _, err := Open(k, s, []byte("bad")); !errors.Is(err, ErrOpen) {
			t.Error("opens under another context")
		}
		if _, err := Open(NewKey(), s, aad); !errors.Is(err, ErrOpen) {
			t.Error("opens under another key")
		}
		for _, i := range []int{0, 23, 24, len(s) / 2, len(s) - 1} {
			bad := slices.Clone(s)
			bad[i] ^= 1
			if _, err := Open(k, bad, aad); !errors.Is(err, ErrOpen) {
				t.Errorf("byte %d of %d changed: opens", i, len(s))
			}
		}
	}
	for n := range 41 {
		if _, err := Open(k, make([]byte, n), aad); !errors.Is(err, ErrOpen) {
			t.Errorf("%d bytes open", n)
		}
	}
	if bytes.Equal(Seal(k, nil, aad), Seal(k, nil, aad)) {
		t.Error("two seals of one text are equal: the nonce is not random")
	}
	once := SealOnce(k, []byte("x"), aad)
	if got, err := OpenOnce(k, once, aad); err != nil || string(got) != "x" {
		t.Error(err)
	}
	if _, err := OpenOnce(k, once, nil); !errors.Is(err, ErrOpen) {
		t.Error("SealOnce does not bind its context")
	}
}

func TestPadding(t *testing.T) {
	for _, n := range []int{0, 1, 1019, 1020, 1021, 2044, 2045} {
		p := Pad(make([]byte, n), 1024)
		if len(p)%1024 != 0 || len(p) < n+4 || len(p) >= n+4+1024 {
			t.Errorf("%d bytes pad to %d", n, len(p))
		}
		if b, err := Unpad(p, 1024); err != nil || len(b) != n {
			t.Error(n, err)
		}
		bad := slices.Clone(p)
		if n+4 < len(p) {
			bad[len(bad)-1] = 1
			if _, err := Unpad(bad, 1024); err == nil {
				t.Errorf("%d bytes: padding that is not zero is taken", n)
			}
		}
		if _, err := Unpad(append(p, make([]byte, 1024)...), 1024); err == nil {
			t.Errorf("%d bytes: longer padding than needed is taken", n)
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, 1023), append([]byte{0xff, 0xff, 0xff, 0xff}, make([]byte, 1020)...), append([]byte{0, 0, 4, 0}, make([]byte, 1020)...)} {
		if _, err := Unpad(bad, 1024); err == nil {
			t.Errorf("%d bytes beginning % x unpad", len(bad), bad[:min(4, len(bad))])
		}
	}
}

func sealed(t *testing.T, plain []byte, to ArchiveRecipient) ([]byte, FileKey) {
	t.Helper()
	var out bytes.Buffer
	w, k, err := NewTrack(&out, to)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), k
}

func TestTracks(t *testing.T) {
	archive, err := NewArchive()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 65535, 65536, 65537, 3*65536 + 5} {
		plain := make([]byte, n)
		rand.Read(plain)
		for _, to := range []ArchiveRecipient{{}, archive.Recipient()} {
			b, k := sealed(t, plain, to)
			r, size, err := OpenTrack(k, bytes.NewReader(b), int64(len(b)))
			if err != nil || size != int64(n) {
				t.Fatal(n, size, err)
			}
			got, err := io.ReadAll(io.NewSectionReader(r, 0, size))
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes: %v", n, err)
			}
			s, err := StreamTrack(k, iotest.OneByteReader(bytes.NewReader(b)))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes streamed: %v", n, err)
			}
			if _, _, err := OpenTrack(FileKey{1}, bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrOpen) {
				t.Errorf("another file key: %v", err)
			}
		}
	}
}

// here is a file of which so many bytes are here.
type here struct {
	b []byte
	n int
}

var errNotHere = errors.New("not here")

func (h *here) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > int64(h.n) && h.n < len(h.b) {
		return 0, errNotHere
	}
	return bytes.NewReader(h.b).ReadAt(p, off)
}

// A track begins before its end is here, and is read anywhere once it is.
func TestTracksBegin(t *testing.T) {
	archive, err := NewArchive()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 65535, 65536, 65537, 2 * 65536, 5*65536 + 5} {
		plain := make([]byte, n)
		rand.Read(plain)
		b, k := sealed(t, plain, archive.Recipient())
		chunk := int(headerSize(b)) + 16 + 65536 + 16 // where the second begins
		h := &here{b, min(chunk, len(b))}
		r, size, err := BeginTrack(k, h, int64(len(b)))
		if err != nil || size != int64(n) {
			t.Fatalf("%d bytes: begins with %d: %v", n, size, err)
		}
		got := make([]byte, min(n, 65536))
		for i := 0; i < len(got); i += 1000 {
			if m, err := r.ReadAt(got[i:min(i+1000, len(got))], int64(i)); m < min(1000, len(got)-i) {
				t.Fatalf("%d bytes: at %d: %d, %v", n, i, m, err)
			}
		}
		if !bytes.Equal(got, plain[:len(got)]) {
			t.Errorf("%d bytes: the beginning is another", n)
		}
		if _, err := r.ReadAt(make([]byte, 1), int64(n-1)); n > 65537 && !errors.Is(err, errNotHere) {
			t.Errorf("%d bytes: the end is read before it is here: %v", n, err)
		}
		h.n = len(b)
		if got, err := io.ReadAll(io.NewSectionReader(r, 0, size)); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %d: %v", n, len(got), err)
		}
		r, _, err = BeginTrack(k, h, int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(io.NewSectionReader(r, 0, size)); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes from the beginning on: %d: %v", n, len(got), err)
		}
		for _, off := range []int{n - 1, 0, n / 2, n / 3, n} {
			one := make([]byte, 1)
			if m, err := r.ReadAt(one, int64(off)); off >= 0 && off < n && (m != 1 || one[0] != plain[off]) || off == n && err != io.EOF {
				t.Errorf("%d bytes: at %d: %d bytes, %v", n, off, m, err)
			}
		}
		if _, _, err := BeginTrack(FileKey{1}, h, int64(len(b))); !errors.Is(err, ErrOpen) {
			t.Errorf("another file key: %v", err)
		}
	}
}

// The DJ's way back, as stock age goes it.
func TestArchiveRecovers(t *testing.T) {
	archive, err := NewArchive()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := sealed(t, []byte("sound"), archive.Recipient())
	ids, err := age.ParseIdentities(strings.NewReader(archive.Reveal() + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(bytes.NewReader(b), ids...)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "sound" {
		t.Error(err)
	}
	again, err := ParseArchive(archive.Reveal())
	if err != nil || again.Reveal() != archive.Reveal() {
		t.Error(err)
	}
	none, _ := sealed(t, []byte("sound"), ArchiveRecipient{})
	if !bytes.HasPrefix(none, []byte("age-encryption.org/v1\n-> playnode-none\n\n--- ")) {
		t.Errorf("without an archive key the header is %q", none[:60])
	}
	if !Unarchived(none) || Unarchived(b) || Unarchived(none[:20]) {
		t.Error("whether a track has an archive key is told wrongly")
	}
	if _, err := age.Decrypt(bytes.NewReader(none), ids...); err == nil {
		t.Error("a track without an archive key opens with one")
	}
}

func TestDamagedTracksAreRefused(t *testing.T) {
	plain := make([]byte, 200_000)
	rand.Read(plain)
	b, k := sealed(t, plain, ArchiveRecipient{})
	for _, n := range []int{0, 10, 100, len(b) - 1, len(b) - 65536, 65536} {
		if _, _, err := OpenTrack(k, bytes.NewReader(b[:n]), int64(n)); err == nil {
			t.Errorf("cut to %d of %d bytes: opens", n, len(b))
		}
		if r, err := StreamTrack(k, bytes.NewReader(b[:n])); err == nil {
			got, err := io.ReadAll(r)
			if err == nil || !bytes.HasPrefix(plain, got) {
				t.Errorf("cut to %d: streams %d bytes and ends well", n, len(got))
			}
		}
	}
	for _, open := range []func(FileKey, io.ReaderAt, int64) (io.ReaderAt, int64, error){OpenTrack, BeginTrack} {
		for i := 0; i < len(b); i += 9999 {
			bad := slices.Clone(b)
			bad[i] ^= 1
			r, size, err := open(k, bytes.NewReader(bad), int64(len(bad)))
			if err != nil {
				continue
			}
			if got, err := io.ReadAll(io.NewSectionReader(r, 0, size)); err == nil || !bytes.HasPrefix(plain, got) {
				t.Errorf("byte %d changed: reads %d bytes and ends well", i, len(got))
			}
		}
	}
	for _, n := range []int{0, 10, 100, len(b) - 1, len(b) - 65536, 65536} {
		r, size, err := BeginTrack(k, bytes.NewReader(b[:n]), int64(n))
		if err != nil {
			continue
		}
		if got, err := io.ReadAll(io.NewSectionReader(r, 0, size)); err == nil || !bytes.HasPrefix(plain, got) {
			t.Errorf("cut to %d: begins, gives %d bytes and ends well", n, len(got))
		}
	}
	endless := io.MultiReader(strings.NewReader("age-encryption.org/v1\n"), &repeat{"-> x y\n\n"})
	if _, err := StreamTrack(k, endless); !errors.Is(err, ErrOpen) {
		t.Errorf("a header without end: %v", err)
	}
}

// repeat is text without end.
type repeat struct{ s string }

func (r *repeat) Read(p []byte) (int, error) {
	return copy(p, strings.Repeat(r.s, len(p)/len(r.s)+1)), nil
}

func TestHPKE(t *testing.T) {
	x, err := NewXWing()
	if err != nil {
		t.Fatal(err)
	}
	y, err := ParseXWing(x.Reveal())
	if err != nil || y.Public() != x.Public() {
		t.Fatal(err)
	}
	enc, ct, err := SealTo(x.Public(), []byte("info"), []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := y.Open([]byte("info"), enc, ct); err != nil || string(got) != "text" {
		t.Error(err)
	}
	other, err := NewXWing()
	if err != nil {
		t.Fatal(err)
	}
	bad := enc
	bad[0] ^= 1
	for name, f := range map[string]func() ([]byte, error){
		"another info": func() ([]byte, error) { return y.Open([]byte("infO"), enc, ct) },
		"another key":  func() ([]byte, error) { return other.Open([]byte("info"), enc, ct) },
		"another enc":  func() ([]byte, error) { return y.Open([]byte("info"), bad, ct) },
		"cut":          func() ([]byte, error) { return y.Open([]byte("info"), enc, ct[1:]) },
		"empty":        func() ([]byte, error) { return y.Open([]byte("info"), enc, nil) },
	} {
		if _, err := f(); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := SealTo([XWingPublicSize]byte{0: 0xff, 1: 0xff, 2: 0xff}, nil, nil); err == nil {
		t.Error("seals to a public key that is none")
	}
}

func TestKeyTexts(t *testing.T) {
	s, err := NewSigning()
	if err != nil {
		t.Fatal(err)
	}
	x, err := NewXWing()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseSigning(s.Reveal() + "\n"); err != nil || again.Public() != s.Public() {
		t.Error(err)
	}
	for _, bad := range []string{"", "pnsign1", x.Reveal(), s.Reveal()[:20], strings.ToUpper(s.Reveal()), s.Reveal() + "a"} {
		if _, err := ParseSigning(bad); err == nil {
			t.Errorf("%.12q is taken for a signing key", bad)
		}
	}
	if _, err := ParseXWing(s.Reveal()); err == nil {
		t.Error("a signing key is taken for an X-Wing key")
	}
	if _, err := ParseArchive(s.Reveal()); err == nil || strings.Contains(err.Error(), s.Reveal()[10:]) {
		t.Errorf("a signing key is taken for an archive key, or told: %v", err)
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	k, f := Key(bytes.Repeat([]byte{0xa7}, 32)), FileKey(bytes.Repeat([]byte{0xa7}, 16))
	s, err := NewSigning()
	if err != nil {
		t.Fatal(err)
	}
	seed := hex.EncodeToString(s.Private().Seed())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q"} {
		for _, x := range []any{k, &k, f, &f, s, struct{ K Key }{k}, []FileKey{f}, map[string]Signing{"s": s}} {
			got := strings.ToLower(fmt.Sprintf(verb, x))
			if strings.Contains(got, "a7a7") || strings.Contains(got, "167 167") || strings.Contains(got, seed) || strings.Contains(got, "0xa7") {
				t.Errorf("%s of %T prints %s", verb, x, got)
			}
		}
	}
	k.Zero()
	f.Zero()
	if k != (Key{}) || f != (FileKey{}) {
		t.Error("Zero leaves bytes behind")
	}
}
