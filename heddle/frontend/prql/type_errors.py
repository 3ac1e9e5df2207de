"""stub"""
from heddle.diagnostics import Diagnostic
class TypeErrors:
    def __init__(self, prepared, rows, planner): self.p=prepared
    def mixed_comparisons(self, query, facts): return ()
    def explain(self, doc, failure): return (Diagnostic("HD0605","error",str(failure),self.p.request.source,self.p.request.query.span),)
