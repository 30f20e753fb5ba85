package publisher

import (
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"playnode/internal/seal"
	"playnode/manifests"
)

// decade is how long root 1 and its publisher key are good for, in seconds:
// longer than any laptop; a new root replaces them sooner.
const decade = 10 * 365 * 86400

// Keyring is the DJ's keys, each drawn independently of the others. It does
// not change after it was opened; safe for concurrent use.
type Keyring struct {
	root, publisher, ipns, backup seal.Signing
	request                       seal.XWing
	archive                       seal.Archive

	roots []manifests.Signed // 1 to the newest
	chain *manifests.Chain
}

// OpenKeyring reads the keys from store, which is for nothing else, or draws
// them and signs root 1, dated now (Unix seconds), when there are none.
func OpenKeyring(store Store, now int64) (*Keyring, error) {
	k := &Keyring{}
	held, err := store.Get("root/1")
	if err != nil {
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	if held == nil {
		if err := k.draw(store, now); err != nil {
			return nil, fmt.Errorf("make keyring: %w", err)
		}
		return k, nil
	}
	if err := k.read(store); err != nil {
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	return k, nil
}

// signing are the Ed25519 keys by their names in the store.
func (k *Keyring) signing() map[string]*seal.Signing {
	return map[string]*seal.Signing{"root": &k.root, "publisher": &k.publisher, "ipns": &k.ipns, "backup": &k.backup}
}

func (k *Keyring) draw(store Store, now int64) (err error) {
	puts := map[string][]byte{}
	for name, s := range k.signing() {
		if *s, err = seal.NewSigning(); err != nil {
			return err
		}
		puts["key/"+name] = []byte(s.Reveal())
	}
	if k.request, err = seal.NewXWing(); err != nil {
		return err
	}
	if k.archive, err = seal.NewArchive(); err != nil {
		return err
	}
	puts["key/request"], puts["key/archive"] = []byte(k.request.Reveal()), []byte(k.archive.Reveal())
	r := manifests.Root{
		N: 1, Keys: []manifests.Key{k.root.Public()}, Thr: 1,
		Pub: []manifests.Publisher{{
			K: k.publisher.Public(), Roles: []manifests.Role{manifests.RoleGrant, manifests.RoleLive, manifests.RoleManifest},
			NBF: now, Exp: now + decade,
		}},
		Names: [2]manifests.Name{manifests.NewName(k.ipns.Public()), manifests.NewName(k.backup.Public())},
		Req:   k.request.Public(), IAT: now, Exp: now + decade,
	}
	payload, err := r.Encode()
	if err != nil {
		return err
	}
	root, err := manifests.Sign(manifests.TypeRoot, payload, k.root.Private())
	if err != nil {
		return err
	}
	if k.chain, err = manifests.VerifyChain([]manifests.Signed{root}); err != nil {
		return err
	}
	k.roots = []manifests.Signed{root}
	puts["root/1"] = marshal(signedRow{root.Env.Data, root.Payload.Data})
	return store.Apply(puts, nil)
}

// signedRow is a signed record as the store keeps it.
type signedRow struct{ Env, Payload []byte }

func (s signedRow) signed() manifests.Signed {
	return manifests.Signed{Env: manifests.NewBlock(s.Env), Payload: manifests.NewBlock(s.Payload)}
}

func (k *Keyring) read(store Store) error {
	for name, s := range k.signing() {
		text, err := store.Get("key/" + name)
		if err != nil {
			return err
		}
		if *s, err = seal.ParseSigning(string(text)); err != nil {
			return fmt.Errorf("key %s: %w", name, err)
		}
	}
	request, err := store.Get("key/request")
	if err != nil {
		return err
	}
	archive, err := store.Get("key/archive")
	if err != nil {
		return err
	}
	if k.request, err = seal.ParseXWing(string(request)); err != nil {
		return fmt.Errorf("key request: %w", err)
	}
	if k.archive, err = seal.ParseArchive(string(archive)); err != nil {
		return fmt.Errorf("key archive: %w", err)
	}
	for n := 1; ; n++ {
		var row signedRow
		ok, err := load(store, fmt.Sprintf("root/%d", n), &row)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		k.roots = append(k.roots, row.signed())
	}
	if k.chain, err = manifests.VerifyChain(k.roots); err != nil {
		return err
	}
	if k.chain.Newest().Keys[0] != k.root.Public() {
		return errors.New("the root key is not the newest root's")
	}
	return nil
}

// DJ is the identity that all roots share.
func (k *Keyring) DJ() manifests.DJ { return k.chain.DJ() }

// Name is the IPNS name that the DJ publishes under.
func (k *Keyring) Name() manifests.Name { return k.chain.Newest().Names[0] }

// Archive is the identity with which stock age opens every track that was
// sealed to it.
func (k *Keyring) Archive() seal.Archive { return k.archive }

// rootN is the newest root's number.
func (k *Keyring) rootN() uint64 { return k.chain.Newest().N }

// rootLinks are the envelopes of all roots.
func (k *Keyring) rootLinks() (links []cid.Cid) {
	for _, r := range k.roots {
		links = append(links, r.Env.CID)
	}
	return links
}
