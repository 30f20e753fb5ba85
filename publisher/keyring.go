package publisher

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ipfs/go-cid"

	"playnode/internal/seal"
	"playnode/manifests"
)

// decade is how long a root and its publisher key are good for, in seconds:
// longer than any laptop; a new root replaces them sooner.
const decade = 10 * 365 * 86400

// ErrNoRoot says that a root has to be signed, and its key is kept elsewhere.
var ErrNoRoot = errors.New("the root key is not here")

// Keyring is the DJ's keys, each drawn independently of the others. A new
// root replaces them in one step. Safe for concurrent use.
type Keyring struct {
	mu   sync.Mutex // held while keys change
	ring atomic.Pointer[ring]
}

// ring is the keys under one root. It does not change.
type ring struct {
	root                    *seal.Signing // nil where it is kept elsewhere
	publisher, ipns, backup seal.Signing
	request                 seal.XWing
	archives                []seal.Archive // the newest first

	roots []manifests.Signed // 1 to the newest
	chain *manifests.Chain
}

// The keys' rows in their store.
const (
	rowKey    = "key/"
	rowRoot   = "root/"    // root/1 ...
	rowEarly  = "archive/" // archive/0001: what was root 1's
	keyRoot   = rowKey + "root"
	keyPub    = rowKey + "publisher"
	keyReq    = rowKey + "request"
	keyArc    = rowKey + "archive"
	keyIPNS   = rowKey + "ipns"
	keyBackup = rowKey + "backup"
)

// OpenKeyring reads the keys from store, which is for nothing else, or draws
// them and signs root 1, dated now (Unix seconds), when there are none.
func OpenKeyring(store Store, now int64) (*Keyring, error) {
	held, err := store.Get(rowRoot + "1")
	if err != nil {
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	k := &Keyring{}
	r, act := &ring{}, "open keyring"
	if held == nil {
		act, err = "make keyring", r.draw(store, now)
	} else {
		err = r.read(store)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", act, err)
	}
	k.ring.Store(r)
	return k, nil
}

func (r *ring) draw(store Store, now int64) (err error) {
	puts := map[string][]byte{}
	root, err := seal.NewSigning()
	if err != nil {
		return err
	}
	r.root = &root
	for row, s := range map[string]*seal.Signing{keyIPNS: &r.ipns, keyBackup: &r.backup} {
		if *s, err = seal.NewSigning(); err != nil {
			return err
		}
		puts[row] = []byte(s.Reveal())
	}
	if err := r.sign(puts, now, r.root, nil); err != nil {
		return err
	}
	return store.Apply(puts, nil)
}

// sign draws what each root has of its own, and signs the next root with the
// key that may, for root as its own key, and for generations no lower than
// gens. What is to be stored goes to puts.
func (r *ring) sign(puts map[string][]byte, now int64, may *seal.Signing, gens []manifests.LeastGen) (err error) {
	if r.publisher, err = seal.NewSigning(); err != nil {
		return err
	}
	if r.request, err = seal.NewXWing(); err != nil {
		return err
	}
	archive, err := seal.NewArchive()
	if err != nil {
		return err
	}
	own := r.root
	if own == nil {
		own = may // it stays where it is
	} else {
		puts[keyRoot] = []byte(own.Reveal())
	}
	n := len(r.roots) + 1
	if len(r.archives) > 0 {
		puts[fmt.Sprintf("%s%04d", rowEarly, n-1)] = []byte(r.archives[0].Reveal())
	}
	r.archives = slices.Insert(slices.Clone(r.archives), 0, archive)
	puts[keyPub], puts[keyReq], puts[keyArc] = []byte(r.publisher.Reveal()), []byte(r.request.Reveal()), []byte(archive.Reveal())
	root := manifests.Root{
		N: uint64(n), Keys: []manifests.Key{own.Public()}, Thr: 1,
		Pub: []manifests.Publisher{{
			K: r.publisher.Public(), Roles: []manifests.Role{manifests.RoleGrant, manifests.RoleLive, manifests.RoleManifest},
			NBF: now, Exp: now + decade,
		}},
		Names: [2]manifests.Name{manifests.NewName(r.ipns.Public()), manifests.NewName(r.backup.Public())},
		Req:   r.request.Public(), Gens: gens, IAT: now, Exp: now + decade,
	}
	signers := []ed25519.PrivateKey{own.Private()}
	if r.chain != nil {
		last := r.roots[n-2]
		dj, prev := r.chain.DJ(), manifests.Digest(last.Payload.CID)
		root.DJ, root.Prev = &dj, &prev
		if may.Public() != own.Public() {
			signers = append(signers, may.Private())
		}
	}
	payload, err := root.Encode()
	if err != nil {
		return err
	}
	s, err := manifests.Sign(manifests.TypeRoot, payload, signers...)
	if err != nil {
		return err
	}
	r.roots = append(slices.Clone(r.roots), s)
	if r.chain, err = manifests.VerifyChain(r.roots); err != nil {
		return err
	}
	puts[fmt.Sprintf("%s%d", rowRoot, n)] = marshal(signedRow{s.Env.Data, s.Payload.Data})
	return nil
}

// signedRow is a signed record as the store keeps it.
type signedRow struct{ Env, Payload []byte }

func (s signedRow) signed() manifests.Signed {
	return manifests.Signed{Env: manifests.NewBlock(s.Env), Payload: manifests.NewBlock(s.Payload)}
}

func (r *ring) read(store Store) error {
	var root seal.Signing
	for row, s := range map[string]*seal.Signing{keyRoot: &root, keyPub: &r.publisher, keyIPNS: &r.ipns, keyBackup: &r.backup} {
		text, err := store.Get(row)
		if err != nil {
			return err
		}
		if text == nil && row == keyRoot {
			continue
		}
		if *s, err = seal.ParseSigning(string(text)); err != nil {
			return fmt.Errorf("%s: %w", row, err)
		}
		if row == keyRoot {
			r.root = &root
		}
	}
	request, err := store.Get(keyReq)
	if err != nil {
		return err
	}
	if r.request, err = seal.ParseXWing(string(request)); err != nil {
		return fmt.Errorf("%s: %w", keyReq, err)
	}
	archive := func(row string, text []byte) error {
		a, err := seal.ParseArchive(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", row, err)
		}
		r.archives = append(r.archives, a)
		return nil
	}
	if err := store.Each(rowEarly, archive); err != nil {
		return err
	}
	newest, err := store.Get(keyArc)
	if err != nil {
		return err
	}
	if err := archive(keyArc, newest); err != nil {
		return err
	}
	slices.Reverse(r.archives)
	for n := 1; ; n++ {
		var row signedRow
		ok, err := load(store, fmt.Sprintf("%s%d", rowRoot, n), &row)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		r.roots = append(r.roots, row.signed())
	}
	if r.chain, err = manifests.VerifyChain(r.roots); err != nil {
		return err
	}
	if r.root != nil && !r.mayRoot(*r.root) {
		return errors.New("the root key is not the newest root's")
	}
	return nil
}

// mayRoot tells whether k signs the root after the newest.
func (r *ring) mayRoot(k seal.Signing) bool { return r.chain.Newest().Keys[0] == k.Public() }

// DJ is the identity that all roots share.
func (k *Keyring) DJ() manifests.DJ { return k.ring.Load().chain.DJ() }

// Name is the IPNS name that the DJ publishes under.
func (k *Keyring) Name() manifests.Name { return k.newest().Names[0] }

// Names are that, and the backup name, which has the same record.
func (k *Keyring) Names() [2]manifests.Name { return k.newest().Names }

// Archives are the identities with which stock age opens every track that was
// sealed to one of them, the newest first.
func (k *Keyring) Archives() []seal.Archive { return k.ring.Load().archives }

// Roots tells how many roots there are, and whether the key that signs the
// next one is here.
func (k *Keyring) Roots() (n int, here bool) {
	r := k.ring.Load()
	return len(r.roots), r.root != nil
}

// MoveRoot takes the root key out of the store, once keep, which is given it,
// has it durably elsewhere. ErrNoRoot says that it is elsewhere already.
func (k *Keyring) MoveRoot(store Store, keep func(seal.Signing) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := *k.ring.Load()
	if r.root == nil {
		return fmt.Errorf("move root key: %w", ErrNoRoot)
	}
	if err := keep(*r.root); err != nil {
		return fmt.Errorf("move root key: %w", err)
	}
	if err := store.Apply(nil, []string{keyRoot}); err != nil {
		return fmt.Errorf("move root key: %w", err)
	}
	r.root = nil
	k.ring.Store(&r)
	return nil
}

// rotate signs the next root, dated now. It goes on from the roots of known
// where those are more than the ones here. The key for it is the one here,
// which a fresh one replaces, or else the one given, which stays where it is.
func (k *Keyring) rotate(store Store, now int64, given *seal.Signing, known *manifests.Chain, gens []manifests.LeastGen) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := *k.ring.Load()
	puts := map[string][]byte{}
	if known != nil {
		follows, err := known.Follows(r.chain)
		if err != nil {
			return err
		}
		if follows {
			r.roots, r.chain = known.Signed(), known
			for i, s := range r.roots {
				puts[fmt.Sprintf("%s%d", rowRoot, i+1)] = marshal(signedRow{s.Env.Data, s.Payload.Data})
			}
		}
	}
	may := r.root
	switch {
	case may == nil && given == nil:
		return ErrNoRoot
	case may == nil:
		may = given
	case given != nil && given.Public() != may.Public():
		return errors.New("the root key is here, and the one given is another")
	default:
		fresh, err := seal.NewSigning()
		if err != nil {
			return err
		}
		r.root = &fresh
	}
	if !r.mayRoot(*may) {
		return fmt.Errorf("the key is not that of root %d: %w", len(r.roots), ErrNoRoot)
	}
	if err := r.sign(puts, max(now, r.chain.Newest().IAT), may, gens); err != nil {
		return err
	}
	if err := store.Apply(puts, nil); err != nil {
		return err
	}
	k.ring.Store(&r)
	return nil
}

func (k *Keyring) newest() *manifests.Root   { return k.ring.Load().chain.Newest() }
func (k *Keyring) rootN() uint64             { return k.newest().N }
func (k *Keyring) publisher() seal.Signing   { return k.ring.Load().publisher }
func (k *Keyring) request() seal.XWing       { return k.ring.Load().request }
func (k *Keyring) roots() []manifests.Signed { return k.ring.Load().roots }
func (k *Keyring) chain() *manifests.Chain   { return k.ring.Load().chain }

// Chain is the DJ's roots, verified.
func (k *Keyring) Chain() *manifests.Chain { return k.chain() }
func (k *Keyring) archive() seal.Archive   { return k.ring.Load().archives[0] }
func (k *Keyring) signers() [2]seal.Signing {
	r := k.ring.Load()
	return [2]seal.Signing{r.ipns, r.backup}
}

// rootLinks are the envelopes of all roots.
func (k *Keyring) rootLinks() (links []cid.Cid) {
	for _, r := range k.roots() {
		links = append(links, r.Env.CID)
	}
	return links
}
