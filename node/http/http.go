// Package http speaks trustless gateways, both ways: Client reads blocks from
// one, Handler serves this box's blocks and IPNS records as one.
//
// What comes in: bytes from gateways and requests from anyone. What goes out:
// blocks that hash to their CID; to requesters, raw blocks, CARs and signed
// IPNS records, never deserialized content. What is trusted: nothing.
package http

import (
	"context"
	"net/http"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// ClientConfig is how a Client reaches its gateway.
type ClientConfig struct {
	// URL is the gateway's root, such as "https://gateway.example". Required.
	URL string
	// HTTP is the client used; nil means one with sane limits of its own.
	HTTP *http.Client
}

// Client reads single blocks from one trustless gateway, and IPNS records. It
// is a node.Getter and an ipns.Router. Safe for concurrent use.
type Client struct{ cfg ClientConfig }

// NewClient makes a Client; it does not dial.
func NewClient(cfg ClientConfig) (*Client, error) { panic("soon") }

// Get reads one block; see node.Getter.
func (c *Client) Get(ctx context.Context, id cid.Cid, w node.Want) ([]byte, error) { panic("soon") }

// HandlerConfig is what the gateway serves.
type HandlerConfig struct {
	// Blocks are served; nothing is fetched for a stranger. Required.
	Blocks node.Blocks
	// Record gives a name's newest record (protobuf), or an error; nil serves
	// no names.
	Record func(name string) ([]byte, error)
}

// NewHandler is the trustless gateway: /ipfs/CID as raw or CAR, /ipns/NAME as
// ipns-record. Mount it on a listener of its own.
func NewHandler(cfg HandlerConfig) http.Handler { panic("soon") }
