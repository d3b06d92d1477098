-- Fails the transaction of whoever took for granted what is not so, with the code by which that is known.
CREATE FUNCTION expect(so boolean, code text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF so IS NOT TRUE THEN
        RAISE EXCEPTION 'not as expected' USING ERRCODE = code;
    END IF;
END
$$;
