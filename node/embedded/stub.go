package embedded

import (
	"context"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

func (n *Node) Get(ctx context.Context, c cid.Cid, w node.Want) ([]byte, error) { panic("soon") }
func (n *Node) Put(ctx context.Context, blocks ...node.Block) error             { panic("soon") }
func (n *Node) Has(ctx context.Context, c cid.Cid) (bool, error)                { panic("soon") }
func (n *Node) Read(ctx context.Context, c cid.Cid) ([]byte, error)             { panic("soon") }
func (n *Node) Delete(ctx context.Context, c cid.Cid) error                     { panic("soon") }
func (n *Node) Pin(ctx context.Context, p node.Pin) error                       { panic("soon") }
func (n *Node) Unpin(ctx context.Context, p node.Pin) error                     { panic("soon") }
func (n *Node) Pins(ctx context.Context) ([]node.Pin, error)                    { panic("soon") }
func (n *Node) PutValue(ctx context.Context, key string, value []byte) error    { panic("soon") }
func (n *Node) GetValue(ctx context.Context, key string) ([]byte, error)        { panic("soon") }
func (n *Node) Handle(protocol string, h func(peer string, s node.Stream))      { panic("soon") }
func (n *Node) Open(ctx context.Context, peer, protocol string) (node.Stream, error) {
	panic("soon")
}
func (n *Node) ID() string                                     { panic("soon") }
func (n *Node) Addrs() []string                                { panic("soon") }
func (n *Node) Connect(ctx context.Context, addr string) error { panic("soon") }
func (n *Node) Connected() []string                            { panic("soon") }
func (n *Node) OnConnect(f func(peer string))                  { panic("soon") }
