//go:build tools

// Package tools names the programs that this module exists for, so that go.sum has what they need.
package tools

import (
	_ "github.com/nsqio/nsq/apps/nsqd"
	_ "github.com/nsqio/nsq/apps/nsqlookupd"
)
