"""A page of Streamlit."""

import streamlit

number = streamlit.slider("number", 0, 100, 20)
streamlit.write(f"twice is {2 * number}")
