package main

import (
	"context"
	"errors"
	"os"
	"strings"

	heddle "github.com/heddle-lang/heddle/sdk/go"
)

type blocklistConfig struct {
	Path string `doc:"The file; lines that begin with # are comments."`
}

// blocklist does not change, so calls may share it as it is.
type blocklist struct{ domains map[string]bool }

func openBlocklist(_ context.Context, config blocklistConfig) (*blocklist, error) {
	text, err := os.ReadFile(config.Path)
	if err != nil {
		return nil, heddle.Errorf("BlocklistMissing", "the blocklist cannot be read: %w", err)
	}
	list := &blocklist{domains: map[string]bool{}}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			list.domains[strings.ToLower(line)] = true
		}
	}
	return list, nil
}

// Health tells the engine of a list that refuses nothing.
func (b *blocklist) Health(context.Context) error {
	if len(b.domains) == 0 {
		return errors.New("the blocklist is empty")
	}
	return nil
}

// has is false for a step that was given no list.
func (b *blocklist) has(domain string) bool { return b != nil && b.domains[domain] }
