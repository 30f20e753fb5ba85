package kubo

import (
	"context"
	"fmt"

	"playnode/node"
)

// maxRecord is the largest IPNS record that the standard allows, in bytes.
const maxRecord = 10 << 10

// Names puts and gets IPNS records at one Kubo. Safe for concurrent use.
type Names struct{ rpc *rpc }

// NewNames makes Names of the Kubo whose RPC is at address, such as
// "http://127.0.0.1:5001"; it does not dial. auth, unless empty, is the secret
// that its RPC asks for, as ipfs --api-auth takes it: bearer:TOKEN, or
// basic:USER:PASSWORD.
func NewNames(address, auth string) (*Names, error) {
	r, err := dial(address, auth)
	if err != nil {
		return nil, err
	}
	return &Names{r}, nil
}

// Record has Kubo look a name's record up: of at most 10 KiB, not verified.
// One that it does not find gives node.ErrNotFound.
func (n *Names) Record(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	data, err := n.rpc.call(ctx, "name/get", args("arg", name), "", nil, maxRecord)
	if err != nil {
		return nil, fmt.Errorf("get record of %s from Kubo: %w: %w", name, node.ErrNotFound, err)
	}
	return data, nil
}

// PutRecord has Kubo keep a record and hand it on. An error says that it did
// not: it knows one of a higher sequence, say.
func (n *Names) PutRecord(ctx context.Context, name string, raw []byte) error {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	kind, body, err := file("record", raw)
	if err == nil {
		// One that is offline keeps it until it is not.
		_, err = n.rpc.call(ctx, "name/put", args("arg", name, "quiet", "true", "allow-offline", "true"), kind, body, maxAnswer)
	}
	if err != nil {
		return fmt.Errorf("put record of %s to Kubo: %w: %w", name, node.ErrNotFound, err)
	}
	return nil
}
