package main

import (
	"fmt"
	"iter"
	"net/mail"
	"strings"

	heddle "github.com/heddle-lang/heddle/sdk/go"
)

type contact struct{ Email string }

type cleaned struct{ Email, Domain string }

type cleanConfig struct {
	Case string `choices:"lower,keep" default:"lower" doc:"What becomes of capitals."`
}

func clean(call *heddle.Call, config cleanConfig, input *heddle.Table) (*heddle.Table, error) {
	emails, err := heddle.Values[string](input, "email")
	if err != nil {
		return nil, err
	}
	blocked, _ := heddle.Find[*blocklist](call, "blocklist")
	domains := make([]string, len(emails))
	for row, email := range emails {
		address, err := mail.ParseAddress(strings.TrimSpace(email))
		if err != nil {
			call.RejectAs("NotAnAddress", "not an e-mail address", row)
			continue
		}
		emails[row] = address.Address
		if config.Case == "lower" {
			emails[row] = strings.ToLower(address.Address)
		}
		_, domain, _ := strings.Cut(emails[row], "@")
		domains[row] = strings.ToLower(domain)
		if blocked.has(domains[row]) {
			call.RejectAs("Blocked", "the domain is on the blocklist", row)
		}
	}
	call.Metric("addresses", float64(len(emails)), "rows")
	if input, err = input.With("email", heddle.ArrayOf(emails)); err != nil {
		return nil, err
	}
	return input.With("domain", heddle.ArrayOf(domains))
}

func unique(call *heddle.Call, _ heddle.NoConfig, input *heddle.Table) (*heddle.Table, error) {
	emails, err := heddle.Values[string](input, "email")
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(emails))
	result, err := input.Filter(func(row int) bool {
		first := !seen[emails[row]]
		seen[emails[row]] = true
		return first
	})
	if err == nil {
		call.Log.Info("doubles were dropped", "rows", input.NumRows()-result.NumRows())
	}
	return result, err
}

type sampleConfig struct {
	Count int `default:"10"`
}

const sampleBatchRows = 1000

func sample(_ *heddle.Call, config sampleConfig) iter.Seq2[*heddle.Table, error] {
	return func(yield func(*heddle.Table, error) bool) {
		for start := 0; start < config.Count; start += sampleBatchRows {
			var rows []contact
			for i := start; i < min(start+sampleBatchRows, config.Count); i++ {
				rows = append(rows, contact{fmt.Sprintf("Person.%d@Example.com", i)})
			}
			if !yield(heddle.TableOf(rows), nil) {
				return
			}
		}
	}
}
