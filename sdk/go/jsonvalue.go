package heddle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// object is a JSON object with its keys in the order of the text.
type object struct {
	keys   []string
	values map[string]any
}

const jsonDepthMax = 100

// parseJSON reads a value: nil, bool, json.Number, string, []any or *object.
func parseJSON(text string) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	value, err := parseValue(decoder, 0)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the value")
	}
	return value, nil
}

func parseValue(decoder *json.Decoder, depth int) (any, error) {
	if depth > jsonDepthMax {
		return nil, fmt.Errorf("it nests deeper than %d levels", jsonDepthMax)
	}
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	delimiter, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if delimiter == '[' {
		items := []any{}
		for decoder.More() {
			item, err := parseValue(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		_, err = decoder.Token()
		return items, err
	}
	result := &object{values: map[string]any{}}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name := key.(string)
		value, err := parseValue(decoder, depth+1)
		if err != nil {
			return nil, err
		}
		if _, twice := result.values[name]; !twice {
			result.keys = append(result.keys, name)
		}
		result.values[name] = value
	}
	_, err = decoder.Token()
	return result, err
}

// plain is the value in Go's own types: int64 or float64 for a number, map[string]any for an object.
func plain(value any) any {
	switch v := value.(type) {
	case json.Number:
		if whole, err := v.Int64(); err == nil {
			return whole
		}
		number, _ := v.Float64()
		return number
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = plain(item)
		}
		return items
	case *object:
		result := make(map[string]any, len(v.keys))
		for _, key := range v.keys {
			result[key] = plain(v.values[key])
		}
		return result
	}
	return value
}

// kindName names a value's kind for messages; the value itself may be secret.
func kindName(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return "a bool"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "a float"
		}
		return "an int"
	case string:
		return "a string"
	case []any:
		return "a list"
	}
	return "a dict"
}
