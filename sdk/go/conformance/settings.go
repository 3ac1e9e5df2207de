package main

import (
	"bytes"
	"encoding/json"
	"iter"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	heddle "github.com/heddle-lang/heddle/sdk/go"
)

type jsonRow struct{ JSON string }

// The fields stand in the order of their names, so that the keys of the JSON text are sorted.
type settings struct {
	Count   int64              `json:"count"`
	Flag    bool               `json:"flag"`
	Level   string             `json:"level" choices:"low,high" default:"low"`
	Limit   *int64             `json:"limit" default:"null"`
	Name    string             `json:"name"`
	Place   *place             `json:"place" default:"null"`
	Ratio   float64            `json:"ratio" default:"0.5"`
	Tags    []string           `json:"tags" default:"[]"`
	Weights map[string]float64 `json:"weights" default:"{}"`
}

type place struct {
	City string `json:"city"`
	Zip  string `json:"zip" default:""`
}

func showSettings(_ *heddle.Call, config settings) iter.Seq2[*heddle.Table, error] {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(config); err != nil {
		return heddle.One(nil, err)
	}
	return heddle.One(heddle.TableOf([]jsonRow{{string(bytes.TrimSpace(text.Bytes()))}}), nil)
}

type schemaConfig struct{ Columns heddle.Row }

func inferSchema(_ *heddle.Call, config schemaConfig) (heddle.Row, error) { return config.Columns, nil }

func schemaOf(_ *heddle.Call, config schemaConfig) iter.Seq2[*heddle.Table, error] {
	builder := array.NewRecordBuilder(memory.DefaultAllocator, config.Columns.Schema())
	defer builder.Release()
	return heddle.One(heddle.FromBatch(builder.NewRecordBatch()), nil)
}
