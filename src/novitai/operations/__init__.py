"""What may be asked, by people and by automation alike. Each verb loads, decides and commits; it writes what was
asked, never what is seen.
"""
